/**
 * A Datanet of a million rows: how fast they are imported and curated by all stages that need no model, in how much memory, and
 * how many of their near duplicates are found; beside text-dedup's MinHash (PyPI) over the same rows' texts, which does the last alone.
 *
 *     npm run -s bench -- datanet [--rows N] [--repeats N] [--quick] [--threads N] [--peers text-dedup] [--output FILE]
 *
 * One repeat where nothing else is said; --quick: 20,000 rows, without the peer. Fails where F1 is below 0.95, the memory above
 * 1 GiB or a fault of the rows was not found.
 */
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { readArguments, wholeNumber } from '../lib/arguments.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { PythonEnvironment } from '../lib/python_environment.ts';
import { caseResult, report } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { benchRows } from './rows.ts';
import { type Score, scoreOf } from './score.ts';
import type { WorkerResult } from './worker.ts';

const peer = 'text-dedup';
const peerPackage = 'text-dedup==0.4.0';
const seed = 20_260_101;
const least = 0.95;
const mostMegabytes = 2 ** 30 / 1e6;
/** Seconds that one run may take. */
const limit = 7200;

interface Run {
  seconds: number;
  megabytes: number;
  score: Score;
}

interface Rows {
  count: number;
  /** JSON lines of chats, and of their texts alone. */
  chats: string;
  texts: string;
  known: Int32Array;
  faults: Record<string, number>;
}

async function main(argv: string[]): Promise<number> {
  const args = readArguments(argv, {
    cases: [],
    peers: [peer],
    values: ['rows', 'threads', 'output'],
    switches: [],
  });
  const count = wholeNumber(args.flags, 'rows', args.quick ? 20_000 : 1_000_000);
  const threads = wholeNumber(args.flags, 'threads', 2);
  const repeats = args.flags.has('repeats') ? args.repeats : 1;
  const beside = args.quick && !args.flags.has('peers') ? [] : args.peers;
  const folder = mkdtempSync(join(tmpdir(), 'colophon-bench-datanet-'));
  try {
    const rows = await writeRows(folder, count);
    const ours: Run[] = [];
    const theirs: Run[] = [];
    for (let round = 1; round <= repeats; round++) {
      ours.push(await runOurs(join(folder, `ours-${round}`), rows, threads));
      if (beside.includes(peer)) theirs.push(await runPeer(folder, rows));
    }
    const of = (value: (run: Run) => number) => {
      const peers: Record<string, number> = theirs.length > 0 ? { [peer]: median(theirs.map(value)) } : {};
      return [median(ours.map(value)), peers] as const;
    };
    const f1 = of(({ score }) => score.f1);
    const memory = of(({ megabytes }) => megabytes);
    publish(
      report('datanet', [
        caseResult('import-rows', 'rows/s', ...of(({ seconds }) => count / seconds)),
        caseResult('dedupe-f1', 'F1', ...f1),
        caseResult('rss-peak', 'MB', ...memory),
      ]),
      args,
      count < 1_000_000 ? 'A run of fewer than a million rows is not saved; --output FILE does.' : undefined,
    );
    if (f1[0] >= least && memory[0] <= mostMegabytes) return 0;
    say(`F1 must be at least ${least}, and the memory at most ${mostMegabytes.toFixed(0)} MB.`);
    return 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function writeRows(folder: string, count: number): Promise<Rows> {
  say(`Writing ${count.toLocaleString('en')} rows ...`);
  const rows: Rows = {
    ...{ count, chats: join(folder, 'chats.jsonl'), texts: join(folder, 'texts.jsonl') },
    ...{ known: new Int32Array(count), faults: {} },
  };
  const texts = createWriteStream(rows.texts);
  await pipeline(async function* () {
    let at = 0;
    let piece = '';
    let plain = '';
    for (const { question, answer, cluster, fault } of benchRows(count, seed)) {
      const messages = [
        { role: 'user', content: question },
        { role: 'assistant', content: answer },
      ];
      piece += `${JSON.stringify({ messages })}\n`;
      plain += `${JSON.stringify({ text: `${question}\n${answer}` })}\n`;
      rows.known[at++] = cluster;
      if (fault) rows.faults[fault] = (rows.faults[fault] ?? 0) + 1;
      if (piece.length < 2 ** 20 && at < count) continue;
      if (!texts.write(plain)) await new Promise<void>((resolve) => texts.once('drain', () => resolve()));
      yield piece;
      piece = '';
      plain = '';
    }
  }, createWriteStream(rows.chats));
  await new Promise<void>((resolve) => texts.end(() => resolve()));
  return rows;
}

async function runOurs(folder: string, rows: Rows, threads: number): Promise<Run> {
  const clusters = `${folder}.clusters`;
  const worker = join(import.meta.dirname, 'worker.js');
  const child = new Child(process.execPath, [worker, rows.chats, folder, clusters, String(threads)]);
  const { output, megabytes } = await watched(child);
  const { importSeconds, curateSeconds, totals } = JSON.parse(output) as WorkerResult;
  rmSync(folder, { recursive: true, force: true });
  const score = scoreOf(clustersOf(clusters), rows.known);
  say(
    `ours: import ${importSeconds.toFixed(1)} s, curation ${curateSeconds.toFixed(1)} s, ${megabytes.toFixed(0)} MB, ${told(score)}`,
  );
  const { address = 0, mojibake = 0, lost = 0 } = rows.faults;
  if (totals.rows !== rows.count || totals.quarantined !== lost || totals.masked !== address + mojibake) {
    throw new Error(
      `Of ${rows.count} rows ${lost} are lost and ${address + mojibake} to be changed, but the curation says ${JSON.stringify(totals)}.`,
    );
  }
  return { seconds: importSeconds + curateSeconds, megabytes, score };
}

async function runPeer(folder: string, rows: Rows): Promise<Run> {
  const environment = new PythonEnvironment('bench-datanet-env', [peerPackage]);
  await environment.setUp();
  const python = environment.tool('python');
  const clusters = join(folder, 'theirs.clusters');
  const script = join(root, 'bench', 'datanet', 'text_dedup_worker.py');
  const place = join(folder, 'theirs');
  const begin = performance.now();
  const child = new Child(python, [script, rows.texts, place, clusters, String(rows.count)]);
  const { megabytes } = await watched(child);
  const seconds = (performance.now() - begin) / 1000;
  rmSync(place, { recursive: true, force: true });
  const score = scoreOf(clustersOf(clusters), rows.known);
  say(`${peer}: ${seconds.toFixed(1)} s, ${megabytes.toFixed(0)} MB, ${told(score)}`);
  return { seconds, megabytes, score };
}

/** What a process says, and the most memory that it and those that it starts hold, looked at four times a second. */
async function watched(child: Child): Promise<{ output: string; megabytes: number }> {
  let megabytes = 0;
  const look = setInterval(() => {
    megabytes = Math.max(megabytes, child.memory());
  }, 250);
  try {
    const output = await child.output(limit);
    return { output, megabytes };
  } finally {
    clearInterval(look);
  }
}

function clustersOf(file: string): Int32Array {
  const bytes = readFileSync(file);
  return new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

const told = ({ precision, recall, f1 }: Score) =>
  `precision ${precision.toFixed(4)}, recall ${recall.toFixed(4)}, F1 ${f1.toFixed(4)}`;

runBench(main);
