/** `colophon datanet contribute`, `review`, `withdraw`. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import type { Client } from '../../../gateway/cli/client.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../gateway/cli/output.ts';
import { terminalProgress } from '../../../gateway/cli/progress.ts';
import type { Progress } from '../../../gateway/models/index.ts';
import { signedStatement } from '../snapshots/canonical.ts';
import { confirmed } from './datanets.ts';
import { type Answer, checkHash, clientOf, listed, path, type ServerFlags, waitFor } from './server.ts';

/** What is said of a file. */
export interface Said {
  contributor: string;
  licence: string;
  source: string;
  rights: string;
  format?: string;
  columns?: string;
  signature?: string;
}

/** Refused rows that are shown; the server has them all. */
const shownRefusals = 10;

export async function contribute(
  name: string,
  file: string,
  flags: ServerFlags & Said & { key?: string; payout?: string },
  output: Output,
): Promise<number> {
  const client = clientOf(flags);
  const sent = await fileToSend(file);
  const key = flags.key === undefined ? undefined : await privateKey(flags.key);
  const contributor = await contributorOf(client, name, flags.contributor, {
    public_key: key && publicKeyOf(key),
    payout_address: flags.payout,
  });
  const { licence, source, rights, format, columns } = flags;
  const statement = { datanet: name, licence, source, rights, contributor };
  const signature =
    key && sign(null, signedStatement({ ...statement, sha256: await sha256Of(file) }), key).toString('hex');
  const said = { contributor, licence, source, rights, format, columns, signature } as Said;
  const given = await upload(client, name, sent, said, terminalProgress(output, 'upload'));
  await waitFor(client, name, given.job, output);
  const contribution = await client.json<Answer>('GET', path(name, 'contributions', given.id));
  const refused: Answer[] = [];
  if (contribution.refused > 0) {
    const url = path(name, 'contributions', given.id, 'refused_rows');
    refused.push(...(await client.json<Answer>('GET', `${url}?limit=${shownRefusals}`)).data);
  }
  const good = contribution.rows - contribution.refused;
  const lines = [
    `${contribution.id}  ${contribution.state}  ${good} examples, ${contribution.refused} refused rows`,
  ];
  if (refused.length > 0) {
    const rows = refused.map(({ line, field, reason }) => [`${line}`, field ?? '', reason]);
    lines.push('', table(['LINE', 'FIELD', 'WHY'], rows));
  }
  output.result({ ...contribution, first_refused_rows: refused }, lines.join('\n'));
  output.next(`colophon datanet review ${name} ${contribution.id} --accept`);
  return exitCodes.ok;
}

export async function review(
  name: string,
  id: string,
  flags: ServerFlags & { accept?: boolean; reject?: boolean; reason?: string },
  output: Output,
): Promise<number> {
  const { accept = false, reject = false, reason = null } = flags;
  if (accept === reject) throw new CliError('Say either --accept or --reject.', exitCodes.usage);
  if (reject && !reason)
    throw new CliError('A rejection needs a reason: add --reason TEXT.', exitCodes.usage);
  const decision = accept ? 'accept' : 'reject';
  const word = await clientOf(flags).json<Answer>('POST', path(name, 'contributions', id, 'review'), {
    decision,
    reason,
  });
  output.result(word, `${id}  ${word.state}`);
  output.next(accept ? `colophon datanet snapshot ${name}` : `colophon datanet show ${name}`);
  return exitCodes.ok;
}

export async function withdraw(
  name: string,
  id: string | undefined,
  flags: ServerFlags & { example?: string; reason?: string; yes?: boolean },
  output: Output,
): Promise<number> {
  if (flags.example !== undefined) return withdrawExample(name, flags.example, id, flags, output);
  if (id === undefined) throw new CliError('Name a contribution, or --example HASH.', exitCodes.usage);
  const question = `Withdraw the contribution "${id}"? Its texts are erased for good.`;
  if (!(await confirmed(question, flags, output))) return exitCodes.failure;
  const body = { reason: flags.reason ?? null };
  const gone = await clientOf(flags).json<Answer>('POST', path(name, 'contributions', id, 'withdraw'), body);
  output.result(gone, `${id}  ${gone.state}`);
  output.next(`colophon datanet snapshot ${name}`);
  return exitCodes.ok;
}

async function withdrawExample(
  name: string,
  hash: string,
  contribution: string | undefined,
  flags: ServerFlags & { reason?: string; yes?: boolean },
  output: Output,
): Promise<number> {
  checkHash(hash);
  const question = `Withdraw the example "${hash}"? Its text is erased for good.`;
  if (!(await confirmed(question, flags, output))) return exitCodes.failure;
  const body = { reason: flags.reason ?? null, ...(contribution === undefined ? {} : { contribution }) };
  const gone = await clientOf(flags).json<Answer>('POST', path(name, 'examples', hash, 'withdraw'), body);
  const others = gone.remaining > 0 ? `; others gave the same text, of which ${gone.remaining} stay` : '';
  output.result(gone, `${hash}  withdrawn from ${gone.withdrawn} rows${others}`);
  output.next(`colophon datanet snapshot ${name}`);
  return exitCodes.ok;
}

/** The id of one of the caller's contributors by its name, made where it is new; an id is taken as it is. */
export async function contributorOf(
  client: Client,
  datanet: string,
  name: string,
  fields: { public_key?: string | undefined; payout_address?: string | undefined } = {},
): Promise<string> {
  if (/^contributor_[0-9a-f]{32}$/.test(name)) return name;
  const url = path(datanet, 'contributors');
  for await (const one of listed(client, url, { mine: 'true' })) {
    if (one.name !== name) continue;
    if (fields.public_key !== undefined && one.public_key !== fields.public_key) {
      throw new CliError(
        `The contributor "${name}" (${one.id}) has another key than --key. Sign with its own, or choose another name.`,
      );
    }
    return one.id;
  }
  return (await client.json<Answer>('POST', url, { name, ...fields })).id;
}

/** What is sent: a file, or what was made in memory. */
export interface Sent {
  /** As it is to be called. */
  filename: string;
  /** Bytes. */
  size: number;
  chunks(): AsyncIterable<Uint8Array>;
}

/** Throws CliError where there is no file. */
export async function fileToSend(file: string, filename = basename(file)): Promise<Sent> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) throw new CliError(`There is no file ${file}.`, exitCodes.usage);
  return { filename, size: found.size, chunks: () => createReadStream(file) };
}

/** Sends it as it is read. */
export async function upload(
  client: Client,
  datanet: string,
  { filename, size, chunks }: Sent,
  said: Said,
  progress: Progress,
): Promise<Answer> {
  const bar = progress.begin(filename, size, 0);
  let isOver = false;
  const counted = async function* () {
    for await (const chunk of chunks()) {
      // Refused meanwhile.
      if (isOver) return;
      bar.advance(chunk.length);
      yield chunk;
    }
  };
  const query = new URLSearchParams({ filename, ...JSON.parse(JSON.stringify(said)) });
  try {
    const response = await client.send(`${path(datanet, 'contributions')}?${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: Readable.toWeb(Readable.from(counted())) as ReadableStream,
      duplex: 'half',
    });
    return (await response.json()) as Answer;
  } finally {
    isOver = true;
    bar.end();
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}

async function privateKey(file: string): Promise<KeyObject> {
  try {
    const key = createPrivateKey(await readFile(file));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below.
  }
  throw new CliError(
    `${file} holds no Ed25519 private key. Make one with: openssl genpkey -algorithm ed25519 -out ${file}`,
    exitCodes.usage,
  );
}

/** The last 32 bytes of the key's DER (RFC 8410), hex. */
const publicKeyOf = (key: KeyObject) =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
