/** The routes of Datanets on a store of their own, over HTTP, for tests. The tenant is the API key; without one it is "anna". */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { validatorCompiler } from '../../../gateway/http/validation.ts';
import { contributionRoutes } from '../http/contributions.ts';
import { contributorRoutes } from '../http/contributors.ts';
import { curationRoutes } from '../http/curation.ts';
import { datanetRoutes } from '../http/datanets.ts';
import { exampleWithdrawalRoutes } from '../http/example_withdrawals.ts';
import { exportRoutes } from '../http/exports.ts';
import { jobRoutes } from '../http/jobs.ts';
import { snapshotRoutes } from '../http/snapshots.ts';
import { places } from '../places.ts';
import { openService } from '../service.ts';

import { withoutModels } from './without_models.ts';

export async function startDatanetServer() {
  const folder = await mkdtemp(join(tmpdir(), 'colophon-datanet-'));
  const service = await openService({
    ...places(folder, {}),
    ...withoutModels,
    uploadBytes: 1e8,
    limits: { rowBytes: 1e6, ratio: 100, expandedBytes: 1e9, refusedRows: 100 },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const parts = {
    service: async () => service,
    caller: ({ headers }: { headers: Record<string, unknown> }) => ({
      tenant: String(headers.authorization ?? 'Bearer anna').slice(7),
      operator: false,
    }),
    files: withoutModels.host.files,
    contributorBytes: 1e8,
  };
  const app = fastify();
  // As the server does.
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
    error instanceof ColophonError
      ? reply.status(error.status).send(error.toBody())
      : reply.status(error.statusCode ?? 500).send({ error: { message: error.message } }),
  );
  for (const add of [
    datanetRoutes,
    contributorRoutes,
    contributionRoutes,
    exampleWithdrawalRoutes,
    curationRoutes,
    snapshotRoutes,
    exportRoutes,
    jobRoutes,
  ])
    add(app, parts);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    folder,
    close: async () => {
      await app.close();
      await service.close();
      await rm(folder, { recursive: true });
    },
  };
}
