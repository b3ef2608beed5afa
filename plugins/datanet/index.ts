/** Datanets: curated examples of named contributors, licensed, versioned, provable. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { definePlugin } from '../../gateway/contract/index.ts';
import { contributionRoutes } from './http/contributions.ts';
import { contributorRoutes } from './http/contributors.ts';
import { curationRoutes } from './http/curation.ts';
import { datanetRoutes } from './http/datanets.ts';
import { exampleWithdrawalRoutes } from './http/example_withdrawals.ts';
import { exportRoutes } from './http/exports.ts';
import { jobRoutes } from './http/jobs.ts';
import { snapshotRoutes } from './http/snapshots.ts';
import { places } from './places.ts';
import type { OpenService } from './service.ts';
import { snapshotFiles } from './snapshot_files.ts';

const bytes = (options: { default: number; description: string }) =>
  Type.Integer({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    bytes: true,
    expects: 'a size such as "512MB", "2GiB" or a number of bytes',
    ...options,
  });

export const datanetConfig = Type.Object(
  {
    postgres_url: Type.Optional(
      Type.String({
        minLength: 1,
        secret: true,
        description:
          'postgres://USER:PASSWORD@HOST:PORT/DATABASE, instead of a SQLite file in the data folder.',
      }),
    ),
    s3: Type.Optional(
      Type.Object(
        {
          endpoint: Type.String({ minLength: 1, description: '"https://s3.example.org".' }),
          bucket: Type.String({ minLength: 1 }),
          region: Type.String({ default: 'us-east-1' }),
          access_key_id: Type.String({ minLength: 1, secret: true }),
          secret_access_key: Type.String({ minLength: 1, secret: true }),
        },
        { additionalProperties: false, description: 'Where texts are kept, instead of the data folder.' },
      ),
    ),
    upload_bytes: bytes({ default: 2 * 2 ** 30, description: 'Largest file of a contribution.' }),
    contributor_bytes: bytes({
      default: 10 * 2 ** 30,
      description:
        'What the contributions of one contributor to a Datanet may take, where the Datanet does not say.',
    }),
    row_bytes: bytes({ default: 2 ** 20, description: 'Longest row; longer ones are refused.' }),
    expanded_bytes: bytes({ default: 16 * 2 ** 30, description: 'What a compressed file may become.' }),
    expansion: Type.Number({
      default: 200,
      minimum: 1,
      description: 'How many times its own size a compressed file may become.',
    }),
    refused_rows: Type.Integer({
      default: 1_000_000,
      minimum: 0,
      description: 'Rows of one file that may be refused; a file with more is given up.',
    }),
    curation_threads: Type.Integer({
      default: 2,
      minimum: 1,
      maximum: 64,
      description: 'Threads of a curation, beside one that compares; each takes some 100 MB while it runs.',
    }),
  },
  { additionalProperties: false },
);

export default definePlugin({
  name: 'datanet',
  contract: 1,
  config: datanetConfig,
  provides: ['fileSource'],
  setup(host, settings) {
    const folder = join(host.paths.data, 'datanets');
    let opening: Promise<OpenService> | undefined;
    // By a start that finds one, or the first request that needs it: most servers have no Datanets.
    const service = () => {
      opening ??= open();
      opening.catch(() => {
        opening = undefined;
      });
      return opening;
    };
    const open = async () => {
      const { openService } = await import('./service.ts');
      return openService({
        ...places(folder, settings),
        uploadBytes: settings.upload_bytes,
        limits: {
          rowBytes: settings.row_bytes,
          ratio: settings.expansion,
          expandedBytes: settings.expanded_bytes,
          refusedRows: settings.refused_rows,
        },
        threads: settings.curation_threads,
        host,
        log: host.log,
      });
    };
    const parts = {
      service,
      caller: host.caller,
      files: host.files,
      contributorBytes: settings.contributor_bytes,
    };
    // What an earlier process left half done is ended at the start, and not at the first request.
    if (settings.postgres_url !== undefined || existsSync(join(folder, 'datanets.sqlite'))) {
      service().catch((error) => host.log.error({ err: error }, 'The Datanet store could not be opened.'));
    }
    host.provide('fileSource', snapshotFiles(service));
    host.routes((app) => {
      datanetRoutes(app, parts);
      contributorRoutes(app, parts);
      contributionRoutes(app, parts);
      exampleWithdrawalRoutes(app, parts);
      curationRoutes(app, parts);
      snapshotRoutes(app, parts);
      exportRoutes(app, parts);
      jobRoutes(app, parts);
    });
    return {
      drain: async () => (await opening?.catch(() => undefined))?.jobs.drain(),
      close: async () => (await opening?.catch(() => undefined))?.close(),
    };
  },
});
