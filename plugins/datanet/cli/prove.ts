/** `colophon datanet prove`: fetches a proof, or checks one with nothing but its file. */
import { writeFile } from 'node:fs/promises';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import { checkProof, type Proof } from '../snapshots/proof.ts';
import { checkHash, clientOf, path, type ServerFlags, snapshotOf } from './server.ts';
import { readJson } from './snapshots.ts';

export interface ProveFlags extends ServerFlags {
  output?: string;
  verify?: string;
  example?: string;
  snapshot?: string;
  provenance?: string;
}

export async function prove(
  at: string | undefined,
  hash: string | undefined,
  flags: ProveFlags,
  output: Output,
): Promise<number> {
  if (flags.verify !== undefined) return verify(flags.verify, flags, output);
  if (at === undefined || hash === undefined)
    throw new CliError(
      'Name a snapshot and an example: NAME@SNAPSHOT HASH, or a proof: --verify FILE.',
      exitCodes.usage,
    );
  checkHash(hash);
  const { name, snapshot } = snapshotOf(at);
  const proof = await clientOf(flags).json('GET', path(name, 'snapshots', snapshot, 'proofs', hash));
  const text = JSON.stringify(proof, null, 2);
  if (flags.output === undefined) {
    output.result(proof, text);
    return exitCodes.ok;
  }
  await writeFile(flags.output, `${text}\n`);
  output.result({ file: flags.output }, flags.output);
  output.next(`colophon datanet prove --verify ${flags.output}`);
  return exitCodes.ok;
}

async function verify(file: string, flags: ProveFlags, output: Output): Promise<number> {
  const given = await readJson(file);
  const { snapshot, provenance, example } = flags;
  const fault = checkProof(given, {
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(provenance === undefined ? {} : { provenance }),
    ...(example === undefined ? {} : { content: await readJson(example) }),
  });
  if (fault !== null) throw new CliError(`${file} proves nothing. ${fault}`);
  const proof = given as Proof;
  const { contribution, contributor } = proof;
  const signed = contribution.signature !== null;
  const text = [
    `example       ${proof.example}${example === undefined ? '' : `, as it is in ${example}`}`,
    `snapshot      ${proof.snapshot}${snapshot === undefined ? '' : ', as was asked for'}`,
    `provenance    ${proof.provenance}${provenance === undefined ? '' : ', as was asked for'}`,
    `contribution  ${contribution.id}, line ${contribution.line}, ${contribution.licence}`,
    `contributor   ${contributor.name} (${contributor.id})`,
    `signature     ${signed ? `by ${contributor.publicKey}` : 'none'}`,
  ];
  output.result({ ok: true, signed, proof }, text.join('\n'));
  if (snapshot === undefined || provenance === undefined)
    output.say(
      'It is as good as its two roots: compare them with what was published (--snapshot, --provenance).',
    );
  return exitCodes.ok;
}
