/**
 * The way of a file from its upload to a snapshot, in a process that is killed on it and started again: each start does what is
 * not there yet. Prints what came of it. Plain JavaScript over the build: Node 20 starts no process from TypeScript.
 */
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { settingsOf } from '../../../dist/plugins/datanet/curation/settings.js';
import { places } from '../../../dist/plugins/datanet/places.js';
import { openService } from '../../../dist/plugins/datanet/service.js';
import { withoutModels } from '../../../dist/plugins/datanet/testing/without_models.js';

const [file, folder] = process.argv.slice(2);
const service = await openService({
  ...places(folder, {}),
  ...withoutModels,
  uploadBytes: 1e9,
  limits: { rowBytes: 1e6, ratio: 100, expandedBytes: 1e9 },
  log: { debug() {}, info() {}, warn() {}, error: (fields) => console.error(fields) },
});
const { store, jobs, contributions } = service;

const contributor = { id: 'c', tenant: 't', name: 'c', payoutAddress: null, publicKey: null, createdAt: 0 };
const given = {
  ...{ id: 'd', name: 'net', domain: '', description: '', kinds: ['text'], schema: null, curation: {} },
  ...{ licencePolicy: { allowed: [], denied: [], outbound: null }, owner: 't', open: false },
  ...{ contributorBytes: 1e9, createdAt: 0 },
};
if (!(await store.contributor('c'))) await store.createContributor(contributor);
if (!(await store.datanet('net'))) await store.createDatanet(given);
const datanet = await store.datanet('net');

const contribution = async () => (await store.contributions({ datanet: 'd' }, { limit: 1 })).data[0];
if (!(await contribution())) {
  const said = {
    filename: 'rows.jsonl',
    format: {},
    licence: 'CC0-1.0',
    source: 's',
    rights: 'r',
    signature: null,
  };
  await contributions.submit(datanet, contributor, said, createReadStream(file));
}
while ((await contribution()).state === 'submitted') await sleep(10);
const { state } = await contribution();
if (state === 'checked')
  await contributions.review(await contribution(), { accept: true, reviewer: 't', reason: null });
else if (state !== 'accepted') throw new Error(`the contribution is ${state}`);

const shares = { train: 0.8, validation: 0.1, test: 0.1 };
const done = async (kind, params) => {
  const all = async () => (await store.jobs({ datanet: 'd' }, { limit: 100 })).data;
  const mine = async () => (await all()).find((job) => job.kind === kind);
  if (!(await mine())) await jobs.submit('d', kind, params);
  while ((await mine()).finishedAt === null) await sleep(10);
  return mine();
};
const curation = await done('curate', { settings: settingsOf(), tenant: 't', operator: true });
const settings = { curation: curation.id, seed: 0, shares, apart: 'cluster' };
const snapshot = await done('snapshot', { settings });
const { sha256, rows, refused } = await contribution();
const verdicts = [];
for (let after = 0, more = true; more; ) {
  const page = await store.verdicts(curation.id, {}, { after, limit: 1000 });
  verdicts.push(...page.data);
  after = page.data.at(-1)?.seq;
  more = page.hasMore;
}
console.log(
  JSON.stringify({
    ...{ sha256, rows, refused, verdicts },
    ...{ curation: curation.report, snapshot: snapshot.report, error: curation.error ?? snapshot.error },
  }),
);
await service.close();
