/** Datanets, contributions and rows to try a store with; each call makes new ones. */
import { createHash, randomUUID } from 'node:crypto';
import type { Contribution, Contributor, Datanet, RefusedRow, StoredExample } from '../../model.ts';
import type { DatanetStore, Job, Page } from '../datanet_store.ts';

/** What text a store must give back as it was: quotes, U+0000, a lone surrogate, beyond the BMP. */
export const oddText = 'it\'s "odd" \\ \u0000 \ud800 😀 \u2028';

export function sha256(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

export async function newDatanet(store: DatanetStore, fields: Partial<Datanet> = {}): Promise<Datanet> {
  const id = `dn_${randomUUID()}`;
  const datanet: Datanet = {
    id,
    name: `net-${id.slice(3)}`,
    domain: 'medicine',
    description: oddText,
    kinds: ['chat', 'text'],
    schema: { type: 'object', title: oddText },
    licencePolicy: { allowed: ['CC0-1.0'], denied: [], outbound: null },
    curation: { language: { allowed: ['en'] } },
    owner: 'tenant-a',
    open: true,
    contributorBytes: 5_000_000_000,
    createdAt: 1_700_000_000,
    ...fields,
  };
  await store.createDatanet(datanet);
  return datanet;
}

export async function newContributor(
  store: DatanetStore,
  fields: Partial<Contributor> = {},
): Promise<Contributor> {
  const contributor: Contributor = {
    id: `ctr_${randomUUID()}`,
    tenant: `tenant-${randomUUID()}`,
    name: oddText,
    payoutAddress: null,
    publicKey: 'ab'.repeat(32),
    createdAt: 1_700_000_000,
    ...fields,
  };
  await store.createContributor(contributor);
  return contributor;
}

export async function newContribution(
  store: DatanetStore,
  datanet: string,
  fields: Partial<Contribution> = {},
): Promise<Contribution> {
  const id = `con_${randomUUID()}`;
  const contribution: Contribution = {
    id,
    datanet,
    contributor: fields.contributor ?? (await newContributor(store)).id,
    filename: oddText,
    format: { format: 'csv', columns: { prompt: 'q', completion: 'a' } },
    sha256: sha256(`upload ${id}`),
    bytes: 3_000_000_000,
    licence: 'CC0-1.0',
    source: oddText,
    rights: 'own work',
    signature: null,
    publicKey: null,
    state: 'submitted',
    reviewer: null,
    reason: null,
    rows: 0,
    refused: 0,
    createdAt: 1_700_000_000,
    reviewedAt: null,
    ...fields,
  };
  await store.createContribution(contribution);
  return contribution;
}

export async function newJob(store: DatanetStore, datanet: string, fields: Partial<Job> = {}): Promise<Job> {
  const job: Job = {
    id: `job_${randomUUID()}`,
    datanet,
    kind: 'check',
    params: { contribution: 'x' },
    state: 'running',
    done: 0,
    total: null,
    stage: null,
    checkpoint: null,
    report: null,
    error: null,
    createdAt: 1_700_000_000,
    finishedAt: null,
    ...fields,
  };
  await store.createJob(job);
  return job;
}

/** Examples `from`, `from + 1`, …, whose texts lie one after another in `blob`, ten bytes each; without one in none. */
export function someExamples(
  contribution: Contribution,
  count: number,
  { from = 0, blob }: { from?: number; blob?: string } = {},
): Array<Omit<StoredExample, 'seq'>> {
  return Array.from({ length: count }, (_, index) => ({
    datanet: contribution.datanet,
    contribution: contribution.id,
    contributor: contribution.contributor,
    line: from + index + 1,
    hash: sha256(`${contribution.id} ${from + index}`),
    originalHash: null,
    source: index % 2 ? oddText : null,
    group: index % 3 ? `group ${index % 3}` : null,
    place: { blob: blob ?? sha256(contribution.id), offset: (from + index) * 10, bytes: 10 },
  }));
}

export function someRefused(count: number, from = 0): RefusedRow[] {
  return Array.from({ length: count }, (_, index) => ({
    line: from + index + 1,
    field: index % 2 ? `messages[${index}].role` : null,
    reason: `Row ${from + index} is not what it should be.`,
    raw: `${oddText} ${from + index}`,
  }));
}

/** An accepted contribution with `count` examples. */
export async function newAccepted(
  store: DatanetStore,
  datanet: string,
  count: number,
  options: { blob?: string } & Partial<Contribution> = {},
): Promise<Contribution> {
  const { blob, ...fields } = options;
  const contribution = await newContribution(store, datanet, { ...fields, state: 'accepted' });
  const job = await newJob(store, datanet);
  for (let from = 0; from < count; from += 1_000) {
    const examples = someExamples(contribution, Math.min(1_000, count - from), {
      from,
      ...(blob && { blob }),
    });
    await store.addRows(
      contribution.id,
      { examples, refused: [] },
      { id: job.id, checkpoint: { from }, done: from },
    );
  }
  await store.updateJob(job.id, { state: 'succeeded' });
  return contribution;
}

export async function all<T>(batches: AsyncIterable<T[]>): Promise<T[]> {
  const found: T[] = [];
  for await (const batch of batches) found.push(...batch);
  return found;
}

/** Every page of a list, of `limit` entries; `key`: after which the next begins. */
export async function allPages<T>(
  list: (page: { after?: string | number; limit: number }) => Promise<Page<T>>,
  key: (entry: T) => string | number,
  limit: number,
): Promise<T[]> {
  const found: T[] = [];
  for (let more = true; more; ) {
    const page = await list({ ...(found.length > 0 && { after: key(found.at(-1)!) }), limit });
    found.push(...page.data);
    more = page.hasMore;
  }
  return found;
}
