import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { definePlugin } from '../../../gateway/contract/index.ts';
import { startTestServer, type TestServer } from '../../../gateway/http/testing.ts';
import { KeyFolder } from '../keys/key_folder.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import { openCheckpoint } from './checkpoint.ts';
import { ledgerRoutes } from './routes.ts';
import { envelopeOf, receiptOf, TestLog } from './testing/logs.ts';
import { newTiles, tilePath } from './tiles.ts';
import { verifyLedger } from './verify_ledger.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-ledger-routes-'));
const keys = new KeyFolder(join(root, 'keys'), 'log.example/ledger');
const log = new TestLog(root, 'ledger', keys);
const plugin = definePlugin({
  name: 'ledger',
  contract: 1,
  config: Type.Object({}),
  provides: [],
  setup: (host) => host.routes((app) => ledgerRoutes(app, log.folder, () => keys.known)),
});

let server: TestServer;
beforeAll(async () => {
  // With a key, which nobody below has.
  server = await startTestServer({ plugins: [plugin], env: { COLOPHON_API_KEY: 'secret' } });
});
afterAll(async () => {
  await server.close();
  rmSync(root, { recursive: true, force: true });
});

const get = async (path: string) => {
  const response = await fetch(`${server.url}${path}`);
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
};

describe('the ledger is served to everyone', () => {
  test('nothing before there is something', async () => {
    const { response, bytes } = await get('/ledger/checkpoint');
    expect(response.status).toBe(404);
    expect(JSON.parse(bytes.toString()).error).toEqual({
      message: 'The ledger has no checkpoint yet.',
      type: 'not_found_error',
      param: null,
      code: 'ledger_object_not_found',
    });
  });

  test('whoever fetches it all can verify it', async () => {
    log.add(Array.from({ length: 300 }, (_, at) => envelopeOf(keys, receiptOf(String(at)))));
    const { response, bytes } = await get('/ledger/checkpoint');
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('public, max-age=1');
    const served = PublicKeys.parse((await get('/ledger/keys')).bytes.toString());
    expect(served.toJson()).toEqual(keys.known.toJson());
    const { size } = openCheckpoint(bytes.toString(), served);
    const copy = join(root, 'mirror');
    for (const name of newTiles(0, size)) {
      const tile = await get(`/ledger/${tilePath(name)}`);
      expect(tile.response.status).toBe(200);
      expect(tile.response.headers.get('content-type')).toBe('application/octet-stream');
      expect(tile.response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
      mkdirSync(join(copy, tilePath(name), '..'), { recursive: true });
      writeFileSync(join(copy, tilePath(name)), tile.bytes);
    }
    writeFileSync(join(copy, 'checkpoint'), bytes);
    expect(verifyLedger(copy, { keys: served }).filter(({ ok }) => !ok)).toEqual([]);
  });

  test.each([
    '/ledger/tile/0/001.p/45',
    '/ledger/tile/0/999',
    '/ledger/tile/..%2fcheckpoint',
    '/ledger/tile/..%2f..%2fkeys%2f0001.pem',
    '/ledger/tile/entries/..%2f..%2f..%2fkeys%2f0001.pem',
    '/ledger/tile/0/%00',
    '/ledger/tile/0/000%0a',
    '/ledger/tile/',
    '/ledger/keys/0001.pem',
    `/ledger/tile/${'x000/'.repeat(100)}000`,
  ])('%s is not there', async (path) => {
    const { response, bytes } = await get(path);
    expect([400, 401, 404]).toContain(response.status);
    expect(JSON.parse(bytes.toString()).error.message).toMatch(/\.$/);
  });

  test('and nothing else without a key', async () => {
    expect((await get('/v1/models')).response.status).toBe(401);
    expect((await get('/ledgers')).response.status).toBe(401);
  });
});
