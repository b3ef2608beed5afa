/** The store of records on SQLite and on PostgreSQL. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { describeDatanetStore } from './conformance/datanet_store.ts';
import { openStore } from './open_store.ts';
import { type PostgresServer, startPostgres } from './testing/postgres_server.ts';
import { hasPostgres } from './testing/services.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-datanet-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeDatanetStore('SQLite', () =>
  openStore({ kind: 'sqlite', path: join(folder, 'made', 'datanets.sqlite') }),
);

describe.skipIf(!hasPostgres)('with a server', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.close());
  describeDatanetStore('PostgreSQL', () => openStore({ kind: 'postgres', url: server.url }));
});
