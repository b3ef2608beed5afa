/** The stores that the tests of a Datanet's life run on, each with real servers; each place is empty (of the one bucket, once it is opened:
 * what no record names is swept). */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { places } from '../places.ts';
import type { ServiceOptions } from '../service.ts';
import { startPostgres } from '../store/testing/postgres_server.ts';
import { startS3 } from '../store/testing/s3_server.ts';
import { hasPostgres, hasS3 } from '../store/testing/services.ts';

export interface TestPlace {
  options: Pick<ServiceOptions, 'store' | 'blobs'>;
  /** Folders with all that it keeps. */
  folders: string[];
}

export interface TestStores {
  fresh(): Promise<TestPlace>;
  close(): Promise<void>;
}

export const storeKinds = [
  { name: 'SQLite and files', here: true, start: startLocal },
  { name: 'PostgreSQL and S3', here: hasPostgres && hasS3, start: startServers },
];

async function startLocal(): Promise<TestStores> {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-datanet-'));
  return {
    async fresh() {
      const own = mkdtempSync(join(folder, 'store-'));
      return { options: places(own, {}), folders: [own] };
    },
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function startServers(): Promise<TestStores> {
  const [postgres, s3] = await Promise.all([startPostgres(), startS3()]);
  const uploads = mkdtempSync(join(tmpdir(), 'colophon-datanet-'));
  return {
    async fresh() {
      const name = `d${randomUUID().replaceAll('-', '')}`;
      await postgres.query(`CREATE DATABASE ${name}`);
      const [row] = (await postgres.query(`SELECT oid FROM pg_database WHERE datname = '${name}'`)) as Array<{
        oid: number;
      }>;
      const spool = join(uploads, name);
      return {
        options: {
          store: { kind: 'postgres', url: postgres.url.replace('/postgres?', `/${name}?`) },
          blobs: { kind: 's3', ...s3.config, folder: spool },
        },
        // Its log is not the database's to cut (docs/datanets.md).
        folders: [join(postgres.folder, 'base', String(row!.oid)), s3.folder, spool],
      };
    },
    async close() {
      await Promise.all([postgres.close(), s3.close()]);
      rmSync(uploads, { recursive: true, force: true });
    },
  };
}
