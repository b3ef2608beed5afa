/** `colophon payouts verify` on what an auditor has: the files of two epochs and of all receipts, and the keys. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { colophon } from '../../../../gateway/cli/testing.ts';
import { type Envelope, signEnvelope, statementPayload } from '../../keys/dsse.ts';
import { Ledger } from '../../ledger/ledger.ts';
import { ledgerEntry, writeReceiptFile } from '../../ledger/receipt_file.ts';
import { receiptOf } from '../../ledger/testing/logs.ts';
import { receiptType } from '../../receipts/receipt.ts';
import { addresses, amounts, testBooks, testKeys } from '../testing/books.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-audit-'));
const file = (...names: string[]) => join(home, ...names);
const currency = 'microUSD';

function signedReceipt(id: string, owed: Record<string, number>): Envelope {
  const receipt = receiptOf(id);
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: id, digest: { sha256: 'ab'.repeat(32) } }],
    predicateType: receiptType,
    predicate: { ...receipt, fee: { ...receipt.fee, currency }, owed: amounts(owed) },
  };
  return signEnvelope(statementPayload, Buffer.from(JSON.stringify(statement)), testKeys.signing);
}

beforeAll(() => {
  const db = new Database(':memory:');
  const ledger = new Ledger(db, file('ledger'), testKeys);
  const kept: Array<{ id: string; idx: number; envelope: Envelope }> = [];
  let next: Envelope | undefined;
  const made = testBooks({ currency }, db, (entry) =>
    ledger.append([next ? ledgerEntry('receipt', next) : entry]),
  );
  const receipt = (id: string, owed: Record<string, number>) => {
    next = signedReceipt(id, owed);
    made.receipt(owed, id);
    const idx = db.prepare('SELECT max(idx) FROM receipts').pluck().get() as number;
    kept.push({ id, idx, envelope: next });
    next = undefined;
  };
  made.books.setAddress({ account: 'contributor:ada', address: addresses[0]!, since: 1, by: 'operator' });
  receipt('one', { 'contributor:ada': 5, pool: 2 });
  receipt('two', { 'contributor:ada': 3 });
  const opening = { receipt: 'two', reason: 'A copy.', by: 'bo', at: 1 };
  made.books.openDispute(opening);
  made.close();
  receipt('three', { platform: 4 });
  made.close();
  ledger.checkpoint();
  mkdirSync(file('receipts'));
  for (const { id, idx, envelope } of kept)
    writeFileSync(file('receipts', `${id}.json`), writeReceiptFile(envelope, ledger.inclusion(idx)));
  for (const number of [1, 2]) {
    const { envelope, entry, ...rest } = made.books.epoch(number);
    const shown = { object: 'payout.epoch', ...rest, entry, envelope: JSON.parse(envelope!) };
    writeFileSync(file(`epoch${number}.json`), JSON.stringify({ ...shown, proof: ledger.inclusion(entry!) }));
  }
  writeFileSync(file('keys.txt'), testKeys.known.toVkeys());
});
afterAll(() => rmSync(home, { recursive: true }));

const verify = (epoch: number, ...more: string[]) =>
  colophon(
    [
      'payouts',
      'verify',
      file(`epoch${epoch}.json`),
      '--keys',
      file('keys.txt'),
      '--receipts',
      file('receipts'),
      ...more,
    ],
    { COLOPHON_HOME: file('nothing') },
  );

test('all holds: signatures, sums, the ledger, the epoch before, and every receipt', async () => {
  const first = await verify(1);
  expect(first.stdout).toContain('ok   receipts: It says what its 2 receipts say.\n');
  const second = await verify(2, '--previous', file('epoch1.json'));
  expect(second.stdout).toContain('ok   previous: It goes on from epoch 1.\n');
  for (const one of [first, second]) {
    expect(one.stdout).toMatch(/\nThe epoch holds\.\n$/);
    expect(one).toMatchObject({ exitCode: 0, stderr: '' });
  }
});

test('a receipt that is missing, changed, or another one is named', async () => {
  const fails = async (sentence: string) => {
    const printed = await verify(1);
    expect(printed.stdout).toContain(sentence);
    expect(printed.exitCode).toBe(1);
  };
  const path = file('receipts', 'two.json');
  const whole = readFileSync(path, 'utf8');
  writeFileSync(path, whole.replace('"sig": "', '"sig": "AA'));
  await fails('FAIL signature: two.json: ');
  await fails('FAIL receipts: The epoch counts 2 receipts, and 1 of its entries are here.');
  writeFileSync(path, 'x');
  await fails('FAIL file: two.json: The file is not JSON');
  rmSync(path);
  await fails('FAIL receipts: The epoch counts 2 receipts, and 1 of its entries are here.');
  writeFileSync(path, readFileSync(file('receipts', 'one.json')));
  await fails('FAIL receipts: The receipt one, entry 0, is there twice.');
  writeFileSync(path, whole);
  expect((await verify(1)).exitCode).toBe(0);
});
