/**
 * Whatever write, fsync, truncation or rename of the store fails, is torn or is the last: what a client had is recorded, each answer
 * once; a failed fsync ends the process; the ledger only grows; receipts, each with its one correction, and epochs add up. `npm run build`
 * before.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PublicKeys } from '../keys/public_keys.ts';
import { PublishedLedger } from '../ledger/published.ts';
import { verifyLedger } from '../ledger/verify_ledger.ts';
import {
  everyFault,
  type FaultedRun,
  type FaultKind,
  faultKinds,
  noFaults,
  runFaulted,
} from '../testing/faults.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-store-faults-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const child = join(import.meta.dirname, 'testing', 'faulted_store.mjs');
/** Every call where there is time for all tests; else some, other ones of each kind. */
const strideOf = () => (process.env.COLOPHON_FULL_TESTS ? 1 : 71);

/** A folder, what clients had of it, and what was published. */
class Life {
  readonly folder: string;
  runs = 0;
  keys: PublicKeys | undefined;
  readonly handed = new Map<string, number>();
  /** Of those whose end was durable. */
  readonly ended = new Map<string, number>();
  checkpoint: string | undefined;

  constructor(kind: string) {
    this.folder = join(root, kind);
    mkdirSync(this.folder);
  }

  async run(fault?: { kind: FaultKind; at: number }): Promise<FaultedRun> {
    const run = await runFaulted(child, [this.folder, String(this.runs++)], this.folder, fault);
    for (const line of run.lines) {
      const [word, first = '', second = ''] = line.split(' ');
      if (word === 'keys') this.keys = PublicKeys.parse(Buffer.from(first, 'base64').toString());
      if (word === 'handed') this.handed.set(first, Number(second));
      if (word === 'ended') this.ended.set(first, Number(second));
    }
    return run;
  }

  /** Whatever state a fault left: the ledger that anyone can fetch is whole, and goes on from what it was. */
  verify(label: string): void {
    const published = new PublishedLedger(join(this.folder, 'ledger'));
    const now = published.checkpoint();
    if (now === undefined && this.checkpoint === undefined) return;
    const checkpoints = new Map(this.checkpoint === undefined ? [] : [['before', this.checkpoint]]);
    const wrong = verifyLedger(published.folder, { keys: this.keys!, checkpoints }).filter(({ ok }) => !ok);
    expect(wrong, label).toEqual([]);
    this.checkpoint = now;
  }

  /** After an undisturbed run: every token is recorded, all receipts are there once, and epochs pay what they owe. */
  complete(label: string): void {
    const db = new Database(join(this.folder, 'metering.db'), { readonly: true });
    try {
      const rows = db
        .prepare('SELECT response, completion_tokens AS tokens, receipt FROM answers')
        .all() as Array<{
        response: string;
        tokens: number;
        receipt: number;
      }>;
      const kept = new Map(rows.map(({ response, tokens }) => [response, tokens]));
      for (const [response, tokens] of this.handed) {
        expect(kept.get(response), `${label}: ${response}`).toBeGreaterThanOrEqual(tokens);
        expect(kept.get(response)! - tokens, `${label}: ${response}`).toBeLessThanOrEqual(
          this.ended.has(response) ? 0 : 1,
        );
      }
      expect(new Set(rows.map(({ receipt }) => receipt)).size, label).toBe(rows.length);
      const receipts = db.prepare('SELECT owed FROM receipts').pluck().all() as string[];
      expect(receipts.length, label).toBe(rows.length);
      const owed = receipts
        .flatMap((text) => JSON.parse(text) as Array<{ units: number }>)
        .reduce((all, { units }) => all + units, 0);
      const corrections = db.prepare('SELECT receipt, changes FROM corrections').all() as Array<{
        receipt: number;
        changes: string;
      }>;
      expect(new Set(corrections.map(({ receipt }) => receipt)).size, label).toBe(receipts.length);
      for (const { changes } of corrections) {
        const units = (JSON.parse(changes) as Array<{ units: string }>).map((one) => Number(one.units));
        expect(units.length, label).toBe(2);
        expect(units[0]! + units[1]!, label).toBe(0);
      }
      const lines = db.prepare(
        "SELECT count(*) FROM ledger_entries WHERE CAST(entry AS TEXT) LIKE 'correction %'",
      );
      expect(lines.pluck().get(), label).toBe(corrections.length);
      const epochs = db
        .prepare("SELECT predicate ->> '$.totals.owed' FROM payout_epochs")
        .pluck()
        .all() as string[];
      expect(
        epochs.reduce((all, one) => all + Number(one), 0),
        label,
      ).toBe(owed);
    } finally {
      db.close();
    }
  }
}

beforeAll(async () => {
  const run = await new Life('undisturbed').run();
  expect(run.lines.at(-1), run.stderr + run.lines.join('\n')).toBe('done');
});

test.skipIf(noFaults !== undefined).for(faultKinds.map((kind, number) => ({ kind, number })))(
  `$kind at each call${noFaults === undefined ? '' : `: not here. ${noFaults}`}`,
  { timeout: 3_600_000 },
  async ({ kind, number }) => {
    const life = new Life(kind);
    await everyFault(kind, { first: 1 + 3 * number, stride: strideOf() }, async (fault) => {
      const label = `${kind} at ${fault.at}`;
      const run = await life.run(fault);
      life.verify(label);
      if (!run.hit) {
        expect(run, label).toMatchObject({ code: 0, signal: null });
        life.complete(label);
        return false;
      }
      const { call, path } = run.hit;
      const said = `${label}, ${call} ${path}: ${run.lines.slice(1).join('; ')} ${run.stderr}`;
      if (kind === 'kill' || kind === 'torn') expect(run.signal, said).toBe('SIGKILL');
      // SQLite syncs the folder of its files without looking whether it could.
      else if (/^f(data)?sync$/.test(call) && path !== life.folder && kind !== 'short' && kind !== 'full')
        expect([3, 5], said).toContain(run.code);
      else expect([0, 3, 5], said).toContain(run.code);
      const next = await life.run();
      expect(next, `after ${said}: ${next.lines.join('; ')}`).toMatchObject({ code: 0, signal: null });
      life.verify(`after ${said}`);
      life.complete(`after ${said}`);
      return true;
    });
  },
);
