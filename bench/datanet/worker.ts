/** A process of its own that gives a file to a Datanet, accepts it and curates it: its memory is what a server needs for it. */
import { createReadStream, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { settingsOf } from '../../plugins/datanet/curation/settings.ts';
import type { Datanet } from '../../plugins/datanet/model.ts';
import { places } from '../../plugins/datanet/places.ts';
import { type OpenService, openService } from '../../plugins/datanet/service.ts';
import { withoutModels } from '../../plugins/datanet/testing/without_models.ts';

/** Told when it is done. */
export interface WorkerResult {
  importSeconds: number;
  curateSeconds: number;
  totals: Record<string, number>;
}

const quiet = { debug() {}, info() {}, warn() {}, error: (fields: object) => console.error(fields) };

const [file, folder, clusters, threads] = process.argv.slice(2) as [string, string, string, string];
const datanet: Datanet = {
  ...{ id: 'datanet_bench', name: 'bench', domain: '', description: '', kinds: ['chat'], schema: null },
  ...{
    licencePolicy: { allowed: [], denied: [], outbound: null },
    curation: {},
    owner: 'bench',
    open: false,
  },
  ...{ contributorBytes: Number.MAX_SAFE_INTEGER, createdAt: 0 },
};
const contributor = {
  ...{
    id: 'contributor_bench',
    tenant: 'bench',
    name: 'bench',
    payoutAddress: null,
    publicKey: null,
    createdAt: 0,
  },
};

async function ended({ store }: OpenService, id: string) {
  for (;;) {
    const job = (await store.job(id))!;
    if (job.state === 'succeeded') return job;
    if (job.finishedAt !== null) throw new Error(job.error ?? job.state);
    await sleep(100);
  }
}

async function main(): Promise<WorkerResult> {
  const service = await openService({
    ...places(folder, {}),
    uploadBytes: Number.MAX_SAFE_INTEGER,
    limits: { rowBytes: 2 ** 20, ratio: 200, expandedBytes: 2 ** 40, refusedRows: 0 },
    threads: Number(threads),
    host: withoutModels.host,
    log: quiet,
  });
  const { store, jobs, contributions } = service;
  await store.createDatanet(datanet);
  await store.createContributor(contributor);
  const statement = {
    filename: 'rows.jsonl',
    format: {},
    licence: 'CC0-1.0',
    source: 'bench',
    rights: 'bench',
  };
  const begin = performance.now();
  const given = await contributions.submit(
    datanet,
    contributor,
    { ...statement, signature: null },
    createReadStream(file, { highWaterMark: 2 ** 20 }),
  );
  await ended(service, given.job.id);
  const contribution = (await store.contribution(given.contribution.id))!;
  await contributions.review(contribution, { accept: true, reviewer: 'bench', reason: null });
  const imported = performance.now();
  const job = await jobs.submit(datanet.id, 'curate', {
    settings: settingsOf(),
    tenant: 'bench',
    operator: true,
  });
  const { report, total } = await ended(service, job.id);
  const curated = performance.now();
  const found = Int32Array.from({ length: total! }, (_, row) => row + 1);
  for (let after = 0; ; ) {
    const page = await store.verdicts(job.id, { action: 'duplicate' }, { after, limit: 1000 });
    for (const { seq, canonical } of page.data) found[seq - 1] = canonical!;
    if (!page.hasMore) break;
    after = page.data.at(-1)!.seq;
  }
  writeFileSync(clusters, Buffer.from(found.buffer));
  await service.close();
  return {
    importSeconds: (imported - begin) / 1000,
    curateSeconds: (curated - imported) / 1000,
    totals: (report as { totals: Record<string, number> }).totals,
  };
}

console.log(JSON.stringify(await main()));
