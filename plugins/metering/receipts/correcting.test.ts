/** What was settled again becomes a correction once, after its receipt, in this run or a later one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Attributor, SettledShares } from '../../../gateway/contract/index.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import { verifyLedger } from '../ledger/verify_ledger.ts';
import { verifyCorrectionFile, verifyReceiptFile } from '../ledger/verify_receipt.ts';
import { type FeeSettings, feesConfig } from '../money/fees.ts';
import { encodeGroup } from '../store/protocol.ts';
import { openRooms, type Rooms } from '../store/rooms.ts';
import type { Store } from '../store/store.ts';
import { Correcting } from './correcting.ts';

const shares = (level: number, base: number): SettledShares => ({
  ...{ level, influence: null, policy: 'a'.repeat(64), total: 2_000_000 },
  ...{ base, pool: 2_000_000 - base, contributors: [] },
});
const first = shares(1, 2_000_000);
const fees = Value.Default(feesConfig, {
  rates: { input: 0, output: 5000, platform: 3 },
  split: { owner: 0, stakers: 0, contributors: 1_000_000 },
}) as FeeSettings;

let folder: string;
let rooms: Rooms;
let number = 0;
/** What the attributor has: responses in the order in which they were settled again, and those that still wait. */
let told: string[];
let waiting: Set<string>;
let correcting: Correcting;
let warned: string[];
let failing: boolean;

const open = () => {
  const fail = (error: unknown) => expect.fail(String(error));
  rooms = openRooms(
    { folder, name: 'log.example/ledger', fees, threshold: 0, witnesses: [] },
    { warn: fail, failed: fail },
  );
  const again: Attributor['again'] = {
    since: async (place, most) => {
      const from = told.slice(place, place + most);
      return from.map((response, at) => ({ place: place + at + 1, response }));
    },
    of: async (response) =>
      waiting.has(response)
        ? undefined
        : { why: 'sample', times: 10, choices: [{ choice: 0, shares: shares(2, 500_000) }] },
    settle: async () => {},
    watch: () => {},
  };
  correcting = new Correcting({
    store: {
      call: (async (name: keyof Rooms['calls'], given: never) => {
        if (failing) throw new Error('No room.');
        return rooms.calls[name](given);
      }) as Store['call'],
    },
    log: { warn: ({ error }: { error?: string }) => void warned.push(error!) },
    attributor: () => ({ again }) as Attributor,
  });
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-correcting-'));
  [number, told, waiting, warned, failing] = [0, [], new Set(), [], false];
  open();
});
afterEach(async () => {
  await rooms.calls.close();
  rmSync(folder, { recursive: true, force: true });
});

/** An answer that ended; its number. */
function answered(response: string): number {
  const about = {
    ...{ response, tenant: 'acme', key: 'k', model: 'law' },
    base: { name: 'base', sha256: null },
    adapter: { name: 'law', sha256: 'b'.repeat(64), folder },
    engine: { backend: 'mock', version: null, precision: null },
    choices: [{ prompt: 0 }],
  };
  number++;
  const record = encodeGroup({
    at: 1,
    begun: [{ number, about, prompts: [Int32Array.of(1)], grammars: [], began: 1 }],
    tokens: Int32Array.of(number, 0, 0, 0, 2, 7, 8),
    ended: [{ number, ended: 2, choices: [{ made: 2, handed: 2, finish: 'stop' }] }],
  });
  rooms.apply({ records: [record], last: number });
  return number;
}
const issue = (...numbers: number[]) =>
  rooms.calls.issue(numbers.map((one) => ({ number: one, settled: { shares: [first], attribution: {} } })));
const correction = (response: string) => rooms.calls.correction({ response });
const run = async () => {
  correcting.tell();
  await correcting.run();
};
const keys = () => JSON.stringify(rooms.opened.keys);

test('a correction is signed, logged after its receipt, counted, and shown with it', async () => {
  issue(answered('a'));
  expect(correction('a')).toBeUndefined();
  told = ['a'];
  await run();
  const known = PublicKeys.parse(keys());
  const bytes = Buffer.from(JSON.stringify(correction('a')));
  const verified = verifyCorrectionFile(bytes, { keys: known });
  expect(verified.findings.filter(({ ok }) => !ok)).toEqual([]);
  expect(verified.correction).toMatchObject({ why: 'sample', times: 10, receipt: { id: 'a', entry: 0 } });
  expect(verified.correction!.changes).toEqual([
    { account: 'owner:law', units: '-70' },
    { account: 'pool', units: '70' },
  ]);
  expect(rooms.calls.receipt({ response: 'a' })).toMatchObject({ corrected: true });
  expect(rooms.calls.correction({ response: 'a', tenant: 'other' })).toBeUndefined();
  expect(rooms.calls.books({ call: 'account', given: ['owner:law'] })).toMatchObject({
    accruing: { receipts: 1, corrections: 1, units: '-60' },
  });
  // A receipt's file is no correction, and the other way round.
  const receipt = Buffer.from(JSON.stringify(rooms.calls.receipt({ response: 'a' })));
  for (const { findings } of [
    verifyReceiptFile(bytes, { keys: known }),
    verifyCorrectionFile(receipt, { keys: known }),
  ])
    expect(findings).toMatchObject([{ check: 'file', ok: false }]);
  await rooms.calls.close();
  const ledger = verifyLedger(join(folder, 'ledger'), { keys: known });
  expect(ledger.filter(({ ok }) => !ok)).toEqual([]);
  expect(ledger.map(({ sentence }) => sentence)).toContain(
    'Each of its 1 corrections is of a receipt before it, and none has two.',
  );
  open();
});

test('each response has one, whoever tells of it how often, and after a restart', async () => {
  issue(answered('a'), answered('b'));
  told = ['a', 'a', 'b', 'unknown'];
  await run();
  const made = [correction('a'), correction('b')];
  expect(made.map((one) => one?.format)).toEqual(Array(2).fill('colophon-correction-v1'));
  await rooms.calls.close();
  open();
  told.push('a', 'b');
  await run();
  expect([correction('a'), correction('b')].map((one) => one?.envelope)).toEqual(
    made.map((one) => one?.envelope),
  );
  expect(rooms.calls.correctedTo()).toBe(6);
});

test('one that comes before its receipt waits for it, and those after it too', async () => {
  const [a, b] = [answered('a'), answered('b')];
  issue(b);
  told = ['a', 'b'];
  await run();
  expect([correction('a'), correction('b'), rooms.calls.correctedTo()]).toEqual([undefined, undefined, 0]);
  issue(a);
  // Nobody tells again: what could not be done is still to be done.
  await correcting.run();
  expect([correction('a'), correction('b')]).not.toContain(undefined);
});

test('one of which a choice still waits comes when that is told', async () => {
  issue(answered('a'));
  waiting.add('a');
  told = ['a'];
  await run();
  expect([correction('a'), rooms.calls.correctedTo()]).toEqual([undefined, 1]);
  waiting.clear();
  told.push('a');
  await run();
  expect(correction('a')).toBeDefined();
});

test('what failed is tried again, and nothing is asked for in vain', async () => {
  issue(answered('a'));
  told = ['a'];
  failing = true;
  await run();
  expect(warned).toEqual(['No room.']);
  failing = false;
  await correcting.run();
  expect(correction('a')).toBeDefined();
  failing = true;
  await correcting.run();
  expect(warned).toHaveLength(1);
});
