/** `colophon datanet demo`: the demo Datanet `medical-coding`, by the same routes and with the same checks as any other. */
import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Client } from '../../../gateway/cli/client.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import { terminalProgress } from '../../../gateway/cli/progress.ts';
import { configOf } from '../../../gateway/cli/server_flags.ts';
import { ModelError, silent } from '../../../gateway/models/index.ts';
import {
  type DemoContributor,
  demoContributors,
  payoutAddressOf,
  publicKeyOf,
  signedBy,
} from '../demo/contributors.ts';
import { type CodingExample, codingExamples } from '../demo/medical_coding.ts';
import { demoChapters, demoStatement } from '../demo/origin.ts';
import { type Chapter, readTabularList } from '../demo/tabular_list.ts';
import { signedStatement } from '../snapshots/canonical.ts';
import { contributorOf, fileToSend, upload } from './contributions.ts';
import { type Answer, clientOf, listed, path, type ServerFlags, waitFor } from './server.ts';

const name = 'medical-coding';

const snapshotSettings = {
  curation: null,
  seed: 0,
  shares: { train: 0.8, validation: 0.1, test: 0.1 },
  // Every contributor's chapters are needed in training; clusters and the rows' groups keep the splits apart.
  apart: 'cluster',
};

/** Where some of it is there already, goes on from there. */
export async function demo(flags: ServerFlags & { list?: string }, output: Output): Promise<number> {
  const client = clientOf(flags);
  // Before the list is fetched: without a server, or a right, it is not needed.
  const isThere = await found(client);
  const examples = codingExamples(await chaptersOf(flags, output));
  if (!isThere) await create(client);
  const there = new Map<string, Answer>();
  for await (const one of listed(client, path(name, 'contributions')))
    if (['submitted', 'checked', 'accepted'].includes(one.state)) there.set(one.sha256, one);
  for (const given of demoContributors) {
    const chapters = given.chapters.filter((number) => (examples.get(number)?.length ?? 0) > 0);
    if (chapters.length === 0) continue;
    const contributor = await contributorOf(client, name, given.name, {
      public_key: publicKeyOf(given),
      payout_address: payoutAddressOf(given),
    });
    for (const number of chapters) {
      const own = examples.get(number)!;
      const done = await contribute(client, { there, contributor, given, number, examples: own, output });
      output.say(
        `  Chapter ${number}: ${own.length} examples of ${given.name}${done ? '' : ', there already'}`,
      );
    }
  }
  const { id } = await client.json<Answer>('POST', path(name, 'snapshots'), snapshotSettings);
  const { report } = await waitFor(client, name, id, output);
  const made = await client.json<Answer>('GET', path(name, 'snapshots', report.snapshot));
  const { examples: count, contributors, splits } = made.counts;
  const text = [
    `datanet    ${name}`,
    `snapshot   ${made.id}`,
    `examples   ${count} of ${contributors} contributors (train ${splits.train}, validation ${splits.validation}, test ${splits.test})`,
  ];
  output.result({ datanet: name, snapshot: made.id, counts: made.counts }, text.join('\n'));
  output.next(`colophon datanet show ${name}`);
  return exitCodes.ok;
}

/** Whether the Datanet is there. It must be the caller's, or one in which it is a curator. */
async function found(client: Client): Promise<boolean> {
  for await (const one of listed(client, '/datanets')) {
    if (one.name !== name) continue;
    const { role } = await client.json<Answer>('GET', path(name));
    if (role !== 'contributor') return true;
    throw new CliError(
      `There is a Datanet "${name}" already, in which you are a contributor; to complete it you must be a curator. Ask ${one.owner}, its owner.`,
    );
  }
  return false;
}

async function create(client: Client): Promise<void> {
  await client.json('POST', '/datanets', {
    name,
    domain: 'medical coding',
    description: 'Diagnoses in words, and the ICD-10-CM category that each belongs to.',
    kinds: ['chat'],
    licence_policy: { allowed: [demoStatement.licence] },
  });
}

async function chaptersOf(flags: ServerFlags & { list?: string }, output: Output): Promise<Chapter[]> {
  if (flags.list !== undefined) return readTabularList((await fileToSend(flags.list)).chunks());
  const { cache } = configOf(flags).paths;
  try {
    return await demoChapters({ cache, progress: terminalProgress(output) });
  } catch (error) {
    if (!(error instanceof ModelError) || error.kind !== 'network') throw error;
    const [reason] = error.message.split('. ');
    throw new CliError(
      `The demo is made of the ICD-10-CM tabular list in the Python package simple-icd-10-cm, which is not on this machine, and ${reason}. Check the network, or name the list's XML: --list FILE.`,
      exitCodes.network,
      error,
    );
  }
}

interface Given {
  /** What was given before, by the SHA-256 of its file. */
  there: Map<string, Answer>;
  contributor: string;
  given: DemoContributor;
  /** Of the chapter. */
  number: number;
  examples: CodingExample[];
  output: Output;
}

/** A chapter's examples, submitted, checked and accepted; false: they were so before. */
async function contribute(client: Client, chapter: Given): Promise<boolean> {
  const { there, contributor, given, number, examples, output } = chapter;
  const rows = examples.map(({ content, group }) => `${JSON.stringify({ ...content, group })}\n`);
  const file = Buffer.from(rows.join(''));
  const sha256 = createHash('sha256').update(file).digest('hex');
  let contribution = there.get(sha256);
  if (contribution?.state === 'accepted') return false;
  if (!contribution) {
    const said = { ...demoStatement, contributor };
    const signature = signedBy(given, signedStatement({ ...said, datanet: name, sha256 }));
    const filename = `chapter-${String(number).padStart(2, '0')}.jsonl`;
    const sent = { filename, size: file.length, chunks: () => once(file) };
    contribution = await upload(client, name, sent, { ...said, format: 'chat', signature }, silent);
    await waitFor(client, name, contribution.job, output);
  }
  const url = path(name, 'contributions', contribution.id);
  // One that an earlier run gave may still be on its way.
  while (contribution.state === 'submitted') {
    contribution = await client.json<Answer>('GET', url);
    if (contribution.state === 'submitted') await setTimeout(100);
  }
  if (contribution.state !== 'checked' && contribution.state !== 'accepted')
    throw new CliError(`${contribution.filename} is ${contribution.state}: ${contribution.reason}`);
  await client.json('POST', `${url}/review`, { decision: 'accept', reason: null });
  return true;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
