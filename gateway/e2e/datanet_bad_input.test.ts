/**
 * What a contributor may send wrongly, to a server in a process of its own: over HTTP and by the command line each is told with
 * file, line and field; nothing else changes in the store; the server's memory stays where it was, and it goes on answering.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createReadStream, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import * as zlib from 'node:zlib';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signedStatement } from '../../plugins/datanet/snapshots/canonical.ts';
import { colophon } from '../cli/testing.ts';
import { parquetBombs, writeGiantLine, writeGzipBomb, writeZstdBomb } from './datanet_bombs.ts';
import { type DatanetProcess, startDatanetProcess } from './datanet_process.ts';
import { full } from './engine.ts';
import { memoryGrowth } from './memory.ts';

const mebibyte = 2 ** 20;
/** What bombs become, and how long the giant line is. */
const bombBytes = full ? 2 ** 30 : 2 ** 28;
/** By how much the server's memory may grow meanwhile. */
const growth = 128 * mebibyte;

const home = mkdtempSync(join(tmpdir(), 'colophon-bad-input-'));
const path = (name: string) => join(home, name);
let server: DatanetProcess;
/** Over HTTP and by the command line the same files are sent: to a Datanet each, as a Datanet takes a file once. */
const nets = ['http', 'cli'] as const;
const contributors: Record<string, string> = {};

beforeAll(async () => {
  const limits = { upload_bytes: 2 ** 31, row_bytes: '64KiB', expansion: 100, expanded_bytes: '64MiB' };
  server = await startDatanetProcess(home, { plugins: { datanet: limits } });
  for (const name of [...nets, 'small']) {
    const made = await server.ask('POST', '/datanets', {
      name,
      kinds: ['chat', 'completion', 'text'],
      licence_policy: { denied: ['GPL-3.0-only'] },
      ...(name === 'small' ? { contributor_bytes: mebibyte } : {}),
    });
    expect(made.status, JSON.stringify(made.body)).toBe(200);
  }
  contributors.Ada = (await server.ask('POST', '/datanets/http/contributors', { name: 'Ada' })).body.id;
});
afterAll(async () => {
  await server.kill();
  rmSync(home, { recursive: true, force: true });
});

type Said = Partial<
  Record<'contributor' | 'filename' | 'licence' | 'signature' | 'rights' | 'columns', string>
>;

const statement = (file: string, said: Said) => ({
  contributor: contributors.Ada!,
  filename: basename(file),
  licence: 'CC0-1.0',
  source: 'own work',
  rights: 'Mine.',
  ...said,
});

/** Over HTTP, as it is read. */
async function send(net: string, file: string, said: Said = {}) {
  const answer = await fetch(
    `${server.url}/datanets/${net}/contributions?${new URLSearchParams(statement(file, said))}`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: Readable.toWeb(createReadStream(file)),
      duplex: 'half',
    } as RequestInit,
  );
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return { status: answer.status, body: (await answer.json()) as any };
}

/** By the command line. */
function contribute(net: string, file: string, said: Said = {}) {
  const { contributor, licence, source, rights, columns } = statement(file, said) as Record<string, string>;
  const flags = { contributor, licence, source, rights, columns };
  const args = Object.entries(flags).flatMap(([name, value]) => (value ? [`--${name}`, value] : []));
  return colophon(['datanet', 'contribute', net, file, ...args, '--url', server.url], {
    COLOPHON_HOME: home,
    COLOPHON_CONFIG: path('config.json'),
    NO_COLOR: '1',
  });
}

/** All that the server keeps: rows by table, and files of blobs, those too that are on their way. */
function kept() {
  const database = new Database(join(home, 'data', 'datanets', 'datanets.sqlite'), { readonly: true });
  const rows = (table: string) =>
    (database.prepare(`SELECT count(*) AS n FROM "${table}"`).get() as { n: number }).n;
  const tables = ['contributions', 'jobs', 'examples', 'refusedRows'] as const;
  const counts = Object.fromEntries(tables.map((table) => [table, rows(table)]));
  database.close();
  const blobs = readdirSync(join(home, 'data', 'datanets', 'blobs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  return { counts: counts as Record<(typeof tables)[number], number>, blobs };
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}

/** Waits for its check; each look is an answer of a server that has work. */
async function checked(net: string, id: string) {
  for (;;) {
    const { body } = await server.ask('GET', `/datanets/${net}/contributions/${id}`);
    if (body.state !== 'submitted') return body;
    await sleep(20);
  }
}

/** A file that is taken, and cannot be read: both ways say the same, and there is its record, its bytes, and nothing else. */
async function expectFailed(file: string, reason: RegExp): Promise<void> {
  const before = kept();
  const { status, body } = await send('http', file);
  expect(status, JSON.stringify(body)).toBe(200);
  const failed = await checked('http', body.id);
  expect(failed).toMatchObject({ state: 'failed', rows: 0, refused: 0, sha256: await sha256Of(file) });
  expect(failed.reason).toMatch(reason);
  expect(failed.reason).toContain(basename(file));
  const printed = await contribute('cli', file);
  expect(printed).toMatchObject({ exitCode: 1, stdout: '' });
  expect(printed.stderr).toContain(failed.reason);
  const after = kept();
  expect(after.counts).toEqual({
    ...before.counts,
    contributions: before.counts.contributions + 2,
    jobs: before.counts.jobs + 2,
  });
  const added = after.blobs.filter((blob) => !before.blobs.includes(blob));
  expect(added.map((blob) => basename(blob))).toEqual([failed.sha256]);
  expect(await sha256Of(added[0]!)).toBe(failed.sha256);
}

/** A file of which some rows are no examples: line, field and a part of the sentence of each. */
async function expectRefusedRows(
  file: string,
  examples: number,
  expected: Array<[line: number, field: string | null, reason: string]>,
): Promise<void> {
  const before = kept();
  const { status, body } = await send('http', file);
  expect(status, JSON.stringify(body)).toBe(200);
  const found = await checked('http', body.id);
  const rows = examples + expected.length;
  expect(found).toMatchObject({ state: 'checked', rows, refused: expected.length });
  const refused = (await server.ask('GET', `/datanets/http/contributions/${body.id}/refused_rows`)).body.data;
  expect(refused).toMatchObject(
    expected.map(([line, field, reason]) => ({ line, field, reason: expect.stringContaining(reason) })),
  );
  const printed = await contribute('cli', file);
  expect(printed.exitCode).toBe(0);
  for (const { line, field, reason } of refused) {
    const row = printed.stdout.split('\n').find((text) => text.startsWith(`${line} `));
    expect(row).toContain(reason);
    if (field !== null) expect(row).toContain(field);
  }
  const after = kept();
  expect(after.counts).toMatchObject({
    examples: before.counts.examples + 2 * examples,
    refusedRows: before.counts.refusedRows + 2 * expected.length,
  });
  expect(after.blobs.map((blob) => basename(blob))).toContain(found.sha256);
}

/** A file that is refused when it comes. */
async function expectRefused(
  file: string,
  { net, ...said }: Said & { net?: string },
  refusal: { status: number; code: string; param: string; message: string },
): Promise<void> {
  const before = kept();
  const { status, ...error } = refusal;
  for (let i = 0; i < 2; i++) {
    const refused = await send(net ?? 'http', file, said);
    expect(refused.status, JSON.stringify(refused.body)).toBe(status);
    expect(refused.body.error).toMatchObject({ ...error, message: expect.stringContaining(error.message) });
  }
  // What is signed is signed by the command line itself.
  if (said.signature === undefined) {
    const printed = await contribute(net ?? 'cli', file, said);
    expect(printed).toMatchObject({ exitCode: 1, stdout: '' });
    expect(printed.stderr).toContain(error.message);
  }
  expect(kept()).toEqual(before);
}

const write = (name: string, content: string | Uint8Array) => {
  writeFileSync(path(name), content);
  return path(name);
};
const good = (word: string) => `${JSON.stringify({ prompt: word, completion: 'Yes.' })}\n`;

describe('rows', () => {
  test('that are broken JSON, lack a field or are not UTF-8', async () => {
    const start = Buffer.from(`${good('a')}{"prompt": \n{"prompt":"b"}\n{"prompt":"`);
    const rest = Buffer.from(`","completion":"c"}\n${good('d')}`);
    const file = write('broken.jsonl', Buffer.concat([start, Buffer.from([0xff, 0xfe]), rest]));
    await expectRefusedRows(file, 2, [
      [2, null, 'on line 2'],
      [3, 'completion', 'on line 3'],
      [4, null, 'Text is not UTF-8 on line 4: byte 0xFF'],
    ]);
  });

  test('of a kind that the Datanet does not take', async () => {
    const preference = {
      input: { messages: [{ role: 'user', content: 'q' }] },
      preferred_output: [{ role: 'assistant', content: 'a' }],
      non_preferred_output: [{ role: 'assistant', content: 'b' }],
    };
    await expectRefusedRows(write('kinds.jsonl', `${JSON.stringify(preference)}\n${good('kind')}`), 1, [
      [1, null, "kind 'preference' on line 1"],
    ]);
  });

  test('of a table with too few or too many cells, and a formula', async () => {
    const table = 'prompt,completion\na,b\nonly one\nx,y,z\n"=HYPERLINK(""http://x"")",y\n';
    await expectRefusedRows(write('table.csv', table), 1, [
      [3, null, 'line 3'],
      [4, null, 'line 4'],
      [5, 'prompt', 'formula'],
    ]);
  });

  test(`of which one has ${bombBytes} bytes, in bounded memory`, async () => {
    await writeGiantLine(path('giant.jsonl'), bombBytes, good('after'));
    const bytes = await memoryGrowth(server.pid, () =>
      expectRefusedRows(path('giant.jsonl'), 1, [[1, null, 'longer than 65536 bytes on line 1']]),
    );
    expect(bytes).toBeLessThan(growth);
  });
});

describe('a file that cannot be read', () => {
  test('of nothing but blank lines', () => expectFailed(write('blank.jsonl', '\n\n \n'), /has no rows/));
  test('of other columns', () =>
    expectFailed(write('columns.csv', 'frage,antwort\na,b\n'), /its columns are "frage, antwort"/));
  test('that is Parquet by its first bytes alone', () =>
    expectFailed(write('damaged.parquet', 'PAR1 is all there is'), /damaged/));
  test('whose gzip is cut', () =>
    expectFailed(write('cut.jsonl.gz', zlib.gzipSync(good('cut')).subarray(0, 20)), /damaged/));
});

describe('a bomb, in bounded memory,', () => {
  const tooLarge = /becomes too large when it is uncompressed: its \d+ bytes become/;
  const zstd = 'createZstdDecompress' in zlib ? tooLarge : /zstd, which Node .* cannot undo; use gzip/;
  const row = good('a'.repeat(2000));
  const bombs: Array<[what: string, name: string, make: (path: string) => void | Promise<void>, RegExp]> = [
    ['of gzip, one line', 'line.jsonl.gz', (to) => writeGzipBomb(to, bombBytes, 'a'), tooLarge],
    ['of gzip, rows', 'rows.jsonl.gz', (to) => writeGzipBomb(to, bombBytes / 8, row), tooLarge],
    ['of zstd', 'line.jsonl.zst', (to) => writeZstdBomb(to, bombBytes), zstd],
    ...Object.entries(parquetBombs).map(
      ([what, make], i) =>
        [
          `of Parquet, ${what}`,
          `bomb${i}.parquet`,
          (to: string) => make(to, bombBytes),
          /becomes too large|damaged/,
        ] as (typeof bombs)[number],
    ),
  ];
  test.each(bombs)('%s', async (_what, name, make, reason) => {
    await make(path(name));
    expect(statSync(path(name)).size).toBeLessThan(2 * mebibyte);
    expect(await memoryGrowth(server.pid, () => expectFailed(path(name), reason))).toBeLessThan(growth);
  });
});

describe('an upload', () => {
  /** More than a connection holds on its way: it is refused while the client is still sending. */
  const large = (name: string) => write(name, good('large').repeat(500_000));

  test('of no byte', () =>
    expectRefused(
      write('empty.jsonl', ''),
      {},
      {
        status: 400,
        code: 'empty_file',
        param: 'file',
        message: "The file 'empty.jsonl' is empty.",
      },
    ));

  test('of the same file again', async () => {
    const file = write('twice.jsonl', good('twice'));
    const { body } = await send('http', file);
    await checked('http', body.id);
    await expectRefused(
      file,
      { net: 'http', filename: 'again.jsonl' },
      {
        status: 409,
        code: 'duplicate_upload',
        param: 'file',
        message: `as contribution '${body.id}'`,
      },
    );
  });

  test('of more than the contributor may have', () =>
    expectRefused(
      large('quota.jsonl'),
      { net: 'small' },
      {
        status: 413,
        code: 'contributor_over_quota',
        param: 'file',
        message: "may have 1048576 bytes in Datanet 'small'",
      },
    ));

  test('under a licence that the policy forbids, or that there is not', async () => {
    const refusal = { status: 400, param: 'licence' };
    await expectRefused(
      large('licence.jsonl'),
      { licence: 'GPL-3.0-only' },
      {
        ...refusal,
        code: 'licence_forbidden',
        message: 'GPL-3.0-only',
      },
    );
    await expectRefused(
      path('licence.jsonl'),
      { licence: 'Not-A-Licence' },
      {
        ...refusal,
        code: 'unknown_licence',
        message: 'Not-A-Licence',
      },
    );
  });

  test('that is not signed as its contributor signs', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const other = generateKeyPairSync('ed25519').privateKey;
    const key = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
    const made = await server.ask('POST', '/datanets/http/contributors', { name: 'Sig', public_key: key });
    const contributor: string = made.body.id;
    const file = write('signed.jsonl', good('signed'));
    const sha256 = await sha256Of(file);
    const signature = (by: KeyObject, change: object = {}) => {
      const { source, licence, rights } = statement(file, {});
      const said = { datanet: 'http', contributor, sha256, source, licence, rights, ...change };
      return sign(null, signedStatement(said), by).toString('hex');
    };
    const bad = { status: 400, code: 'bad_signature', param: 'signature', message: contributor };
    await expectRefused(file, { net: 'http', contributor }, bad);
    for (const wrong of [
      'ab'.repeat(64),
      signature(other),
      signature(privateKey, { rights: 'Other.' }),
      signature(privateKey, { datanet: 'cli' }),
      signature(privateKey, { sha256: 'ab'.repeat(32) }),
    ])
      await expectRefused(file, { contributor, signature: wrong }, bad);
    const given = await send('http', file, { contributor, signature: signature(privateKey) });
    expect(given.status, JSON.stringify(given.body)).toBe(200);
    expect(await checked('http', given.body.id)).toMatchObject({ state: 'checked', rows: 1, refused: 0 });
  });

  test('whose client goes away leaves nothing', async () => {
    const before = kept();
    const { hostname, port, host } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const query = new URLSearchParams(statement('cut.jsonl', {}));
    socket.write(
      `POST /datanets/http/contributions?${query} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/octet-stream\r\ncontent-length: 9999999\r\n\r\n${good('cut')}`,
    );
    await expect.poll(() => kept().blobs.length).toBe(before.blobs.length + 1);
    socket.destroy();
    await expect.poll(kept).toEqual(before);
  });
});
