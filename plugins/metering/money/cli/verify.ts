/** `colophon payouts verify`: checks a file with nothing but what is in it, and the keys that one knows. */
import { CliError, exitCodes } from '../../../../gateway/cli/failure.ts';
import type { Output } from '../../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../../gateway/cli/server_flags.ts';
import { knownKeys, readGiven, showFindings } from '../../cli/findings.ts';
import { type PayoutProof, payoutFault } from '../distribution.ts';
import { verifyEpochFile } from '../verify_epoch.ts';

/** A statement of a hundred thousand accounts has some 25 MB, twice in its file. */
const mostBytes = 2 ** 28;

export interface VerifyFlags extends ServeFlags {
  root?: string;
  keys?: string;
}

/** A proof of a payment, or what an epoch says. Exit code 1 where it does not hold. */
export async function verify(file: string, flags: VerifyFlags, output: Output): Promise<number> {
  const given = readJson(file);
  const { object, format } = Object(given) as { object?: unknown; format?: unknown };
  const root = flags.root === undefined ? {} : { root: flags.root };
  if (object === 'payout.epoch') {
    const keys = knownKeys(flags.keys, () => configOf(flags));
    const { findings } = verifyEpochFile(given as object, { keys, ...root });
    return showFindings('The epoch', findings, output);
  }
  if (format !== 'colophon-payout-v1')
    throw new CliError(
      `${file} is neither a proof (colophon payouts proof) nor an epoch (colophon payouts show EPOCH --json).`,
    );
  const fault = payoutFault(given, flags.root);
  if (fault !== null) throw new CliError(`${file} proves nothing. ${fault}`);
  const proof = given as PayoutProof;
  const { address, amount } = proof;
  output.result(
    { ok: true, address, amount, root: proof.root },
    `address  ${address}\namount   ${amount}\nroot     ${proof.root}`,
  );
  if (flags.root === undefined)
    output.say("It is as good as its root: compare that with the contract's, or the epoch's (--root).");
  return exitCodes.ok;
}

function readJson(file: string): unknown {
  const bytes = readGiven(file);
  if (bytes.length > mostBytes)
    throw new CliError(`${file} has ${bytes.length} bytes; at most ${mostBytes} are read.`);
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new CliError(`${file} is no JSON.`);
  }
}
