/**
 * Whatever write, fsync, truncation or rename fails, is torn or is the last: the ledger that is published stays a valid one that only
 * grows, what was said to be logged is there, and a failed fsync ends the process. `npm run build` before: the child runs the build.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PublicKeys } from '../keys/public_keys.ts';
import {
  everyFault,
  type FaultedRun,
  type FaultKind,
  faultKinds,
  noFaults,
  runFaulted,
} from '../testing/faults.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { PublishedLedger } from './published.ts';
import { tileWidth, widthIn } from './tiles.ts';
import { verifyLedger } from './verify_ledger.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-ledger-faults-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const child = join(import.meta.dirname, 'testing', 'faulted_child.mjs');
/** Of batches in a run; odd, so that tiles end anywhere in one. */
const sizes = ['1', '7', '33'];
const entryOf = (run: number, index: number) =>
  `receipt sha256:${createHash('sha256').update(`${run} ${index}`).digest('hex')}`;

/** Every call where there is time for all tests; else some, other ones of each kind. */
const stride = process.env.COLOPHON_FULL_TESTS ? 1 : 17;

class Life {
  readonly folder: string;
  runs = 0;
  keys: PublicKeys | undefined;
  /** By index, what was said to be logged. */
  readonly logged = new Map<number, string>();
  /** Every checkpoint that was published since the last that was compared, and it: each begins as the one before. */
  checkpoints: string[] = [];

  constructor(kind: string) {
    this.folder = join(root, kind);
    mkdirSync(this.folder);
  }

  /** Takes down what a run said of itself. */
  async run(fault?: { kind: FaultKind; at: number }): Promise<FaultedRun> {
    const number = this.runs++;
    const run = await runFaulted(child, [this.folder, String(number), ...sizes], this.folder, fault);
    for (const line of run.lines) {
      const [word, first = '', second = ''] = line.split(' ');
      const text = () => Buffer.from(first, 'base64').toString();
      if (word === 'keys') this.keys = PublicKeys.parse(text());
      if (word === 'published') this.checkpoints.push(text());
      for (let at = Number(first); word === 'logged' && at < Number(first) + Number(second); at++) {
        // Nobody gets a place that was given away.
        expect(this.logged.has(at)).toBe(false);
        this.logged.set(at, entryOf(number, at));
      }
    }
    return run;
  }

  /** Whoever reads the folder now finds a valid ledger that begins as every one that was published before. */
  verify(label: string): void {
    const published = new PublishedLedger(join(this.folder, 'ledger'));
    if (published.checkpoint() === undefined && this.checkpoints.length === 0) return;
    const checkpoints = new Map(this.checkpoints.map((text, at) => [`published ${at}`, text]));
    const wrong = verifyLedger(published.folder, { keys: this.keys!, checkpoints }).filter(({ ok }) => !ok);
    expect(wrong, label).toEqual([]);
    this.checkpoints = [published.checkpoint()!];
  }

  /** What was said to be logged is there, at its index. */
  complete(label: string): void {
    const published = new PublishedLedger(join(this.folder, 'ledger'));
    const { size } = parseCheckpoint(published.checkpoint()!);
    for (let number = 0; number * tileWidth < size; number++)
      for (const [at, entry] of published.bundle(number, widthIn(size, 'entries', number)).entries()) {
        const index = number * tileWidth + at;
        expect(entry.toString(), `${label}, entry ${index}`).toBe(this.logged.get(index) ?? entry.toString());
      }
    for (const index of this.logged.keys()) expect(index, label).toBeLessThan(size);
  }
}

beforeAll(async () => {
  const run = await new Life('undisturbed').run();
  expect(run.lines.at(-1), run.stderr).toBe('done 41');
});

// At once: most of their time is the disk's.
test.skipIf(noFaults !== undefined).for(faultKinds.map((kind, number) => ({ kind, number })))(
  `$kind at each call${noFaults === undefined ? '' : `: not here. ${noFaults}`}`,
  { timeout: 3_600_000, concurrent: true },
  async ({ kind, number }) => {
    const life = new Life(kind);
    const calls = new Set<string>();
    const faults = await everyFault(kind, { first: 1 + (number % stride), stride }, async (fault) => {
      const label = `${kind} at ${fault.at}`;
      const run = await life.run(fault);
      life.verify(label);
      if (!run.hit) {
        expect(run, label).toMatchObject({ code: 0, signal: null });
        life.complete(label);
        return false;
      }
      const { call, path } = run.hit;
      calls.add(call);
      const said = `${label}, ${call} ${path}: ${run.lines.slice(1).join('; ')} ${run.stderr}`;
      if (kind === 'kill' || kind === 'torn') expect(run.signal, said).toBe('SIGKILL');
      // SQLite syncs the folder of its files without looking whether it could.
      else if (/^f(data)?sync$/.test(call) && path !== life.folder && kind !== 'short' && kind !== 'full')
        expect(run.code, said).toBe(3);
      // 5: there was no room to start.
      else expect([0, 3, 5], said).toContain(run.code);
      // And then, undisturbed:
      const next = await life.run();
      expect(next, `after ${said}: ${next.lines.join('; ')}`).toMatchObject({ code: 0, signal: null });
      life.verify(`after ${said}`);
      life.complete(`after ${said}`);
      return true;
    });
    expect(faults).toBeGreaterThan(3);
    expect(calls.size).toBeGreaterThan(1);
  },
);
