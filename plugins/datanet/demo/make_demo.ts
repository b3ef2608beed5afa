/** Makes the demo Datanet `medical-coding`, by the same service and with the same checks as any other. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { type ModelOptions, resolveModel } from '../../../gateway/models/index.ts';
import type { Service } from '../http/routes.ts';
import { now } from '../jobs/runner.ts';
import type { Contribution, Contributor, Datanet } from '../model.ts';
import { signedStatement } from '../snapshots/canonical.ts';
import {
  type DemoContributor,
  demoContributors,
  payoutAddressOf,
  publicKeyOf,
  signedBy,
} from './contributors.ts';
import { type CodingExample, codingExamples } from './medical_coding.ts';
import { type Chapter, readTabularList } from './tabular_list.ts';

export const demoName = 'medical-coding';

/** The list of April 2026, pinned like the default model. */
export const tabularListSource =
  'pypi:simple-icd-10-cm==1.5.0#simple_icd_10_cm/data/icd10c-tabular-April-1-2026.xml' +
  '?sha256=f161f8182aff3ce3a2a78e202f8259c08eaee2c670a9e45b0072445c52302935';

/** Works of the US government: free of copyright by law, so marked, not dedicated. */
const licence = 'CC-PDM-1.0';
const source =
  'ICD-10-CM tabular list, April 2026, US National Center for Health Statistics (PyPI simple-icd-10-cm 1.5.0)';
const rights = 'A work of the United States government, in the public domain (17 U.S.C. 105).';

/** The tabular list's chapters; fetched once per user. Throws ModelError where it cannot be had. */
export async function demoChapters(options: ModelOptions = {}): Promise<Chapter[]> {
  const { path } = await resolveModel(tabularListSource, options);
  return readTabularList(createReadStream(path));
}

export interface DemoOptions {
  /** Becomes the Datanet's owner, speaks for its contributors and accepts what they give. */
  tenant: string;
  /** Default: the whole list (demoChapters). */
  chapters?: readonly Chapter[];
  contributorBytes?: number;
  onProgress?(sentence: string): void;
  signal?: AbortSignal;
}

export interface Demo {
  datanet: Datanet;
  /** The snapshot's id. */
  snapshot: string;
  examples: number;
}

/** Where some of it is there already, goes on from there. Throws `datanet_exists` where another tenant has one of its name. */
export async function makeDemo(service: Service, options: DemoOptions): Promise<Demo> {
  const { store } = service;
  const { tenant, onProgress, signal } = options;
  const examples = codingExamples(options.chapters ?? (await demoChapters()));
  const datanet = await datanetOf(service, options);
  const known = await contributorsOf(service, tenant);
  for (const demo of demoContributors) {
    const chapters = demo.chapters.filter((number) => (examples.get(number)?.length ?? 0) > 0);
    if (chapters.length === 0) continue;
    let contributor = known.get(publicKeyOf(demo));
    if (!contributor) {
      contributor = contributorOf(demo, tenant);
      await store.createContributor(contributor);
    }
    for (const number of chapters) {
      signal?.throwIfAborted();
      const own = examples.get(number)!;
      await contribute(service, { datanet, contributor, demo, number, examples: own, signal });
      onProgress?.(`Chapter ${number}: ${own.length} examples of ${demo.name}.`);
    }
  }
  const settings = {
    curation: null,
    seed: 0,
    shares: { train: 0.8, validation: 0.1, test: 0.1 },
    // Every contributor's chapters are needed in training; clusters and the rows' groups keep the splits apart.
    apart: 'cluster',
  };
  const job = await ended(
    service,
    (await service.jobs.submit(datanet.id, 'snapshot', { settings })).id,
    signal,
  );
  const { snapshot, counts } = job.report as { snapshot: string; counts: { examples: number } };
  return { datanet, snapshot, examples: counts.examples };
}

async function datanetOf({ store }: Service, { tenant, contributorBytes }: DemoOptions): Promise<Datanet> {
  const there = await store.datanet(demoName);
  if (there?.owner === tenant) return there;
  const datanet: Datanet = {
    id: `datanet_${randomUUID().replaceAll('-', '')}`,
    name: demoName,
    domain: 'medical coding',
    description: 'Diagnoses in words, and the ICD-10-CM category that each belongs to.',
    kinds: ['chat'],
    schema: null,
    licencePolicy: { allowed: [licence], denied: [], outbound: null },
    curation: {},
    owner: tenant,
    open: false,
    contributorBytes: contributorBytes ?? 2 ** 30,
    createdAt: now(),
  };
  await store.createDatanet(datanet);
  return datanet;
}

/** The tenant's, by public key. */
async function contributorsOf({ store }: Service, tenant: string): Promise<Map<string, Contributor>> {
  const found = new Map<string, Contributor>();
  for (let after: string | undefined; ; ) {
    const page = await store.contributors(
      { tenant },
      { limit: 100, ...(after === undefined ? {} : { after }) },
    );
    for (const contributor of page.data)
      if (contributor.publicKey !== null) found.set(contributor.publicKey, contributor);
    if (!page.hasMore) return found;
    after = page.data.at(-1)!.id;
  }
}

function contributorOf(demo: DemoContributor, tenant: string): Contributor {
  return {
    id: `contributor_${randomUUID().replaceAll('-', '')}`,
    tenant,
    name: demo.name,
    payoutAddress: payoutAddressOf(demo),
    publicKey: publicKeyOf(demo),
    createdAt: now(),
  };
}

interface Given {
  datanet: Datanet;
  contributor: Contributor;
  demo: DemoContributor;
  /** Of the chapter. */
  number: number;
  examples: CodingExample[];
  signal: AbortSignal | undefined;
}

/** A chapter's examples, submitted, checked and accepted; what was done of that before is left. */
async function contribute(service: Service, given: Given): Promise<void> {
  const { store, contributions } = service;
  const { datanet, contributor, demo, number, examples, signal } = given;
  const file = Buffer.from(
    examples.map(({ content, group }) => `${JSON.stringify({ ...content, group })}\n`).join(''),
  );
  const sha256 = createHash('sha256').update(file).digest('hex');
  const there = await store.contributions({ datanet: datanet.id, sha256 }, { limit: 100 });
  const living = ['submitted', 'checked', 'accepted'];
  let contribution = there.data.find(({ state }) => living.includes(state));
  if (!contribution) {
    const said = { licence, source, rights };
    const signed = { datanet: datanet.name, sha256, contributor: contributor.id, ...said };
    const statement = {
      filename: `chapter-${String(number).padStart(2, '0')}.jsonl`,
      format: { format: 'chat' as const },
      ...said,
      signature: signedBy(demo, signedStatement(signed)),
    };
    contribution = (await contributions.submit(datanet, contributor, statement, once(file))).contribution;
  }
  contribution = await checked(service, contribution, signal);
  if (contribution.state === 'checked')
    await contributions.review(contribution, { accept: true, reviewer: datanet.owner, reason: null });
}

/** Waits for the job that reads it. */
async function checked(
  { store }: Service,
  contribution: Contribution,
  signal?: AbortSignal,
): Promise<Contribution> {
  for (;;) {
    signal?.throwIfAborted();
    const current = (await store.contribution(contribution.id)) ?? contribution;
    if (current.state === 'failed')
      throw new ColophonError(`${current.filename} could not be read: ${current.reason}`, {
        code: 'damaged_file',
      });
    if (current.state !== 'submitted') return current;
    await pause();
  }
}

async function ended({ store }: Service, id: string, signal?: AbortSignal) {
  for (;;) {
    signal?.throwIfAborted();
    const job = (await store.job(id))!;
    if (job.state === 'succeeded') return job;
    if (job.state !== 'queued' && job.state !== 'running')
      throw new Error(`The snapshot was not made: ${job.error ?? job.state}.`);
    await pause();
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
