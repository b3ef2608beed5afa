import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { until } from '../../../gateway/http/testing.ts';
import { KeyFolder } from '../keys/key_folder.ts';
import { writeReceiptFile } from './receipt_file.ts';
import { envelopeOf, receiptOf, TestLog } from './testing/logs.ts';
import { TestWitness } from './testing/test_witness.ts';
import { verifyLedger } from './verify_ledger.ts';
import { verifyReceiptFile } from './verify_receipt.ts';
import { Cosigning } from './witness.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-witness-'));
const keys = new KeyFolder(join(root, 'keys'), 'log.example/ledger');
const receipts = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => envelopeOf(keys, receiptOf(String(from + at))));

const toClose: Array<{ close(): Promise<void> }> = [];
let logs = 0;
/** A log, witnesses of it, and what asks them. */
async function witnessed(names: string[], answer = 60_000) {
  const log = new TestLog(root, `log ${logs++}`, keys);
  const witnesses = names.map((name) => new TestWitness(name, keys.known));
  const places = await Promise.all(witnesses.map((one) => one.listen()));
  const said: string[] = [];
  const cosigning = new Cosigning({
    folder: log.folder,
    keys: () => keys.known,
    witnesses: places,
    refused: ({ key }, sentence) => said.push(`${key.name}: ${sentence}`),
    failed: (error) => said.push(String(error)),
    patience: { answer, pause: 20 },
  });
  toClose.push({ close: () => cosigning.stop() }, ...witnesses);
  /** Whether the published checkpoint has the signatures of these, and is in order. */
  const signedBy = (...some: TestWitness[]) =>
    verifyLedger(log.folder, { keys: keys.known, witnesses: some.map(({ key }) => key) }).every(
      ({ ok }) => ok,
    );
  return { log, places, witnesses, cosigning, said, signedBy };
}
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('witnesses sign each tree that they saw grow out of the one before', async () => {
  const { log, witnesses, cosigning, said, signedBy } = await witnessed(['w.example/1', 'w.example/2']);
  for (const size of [1, 2, 300, 301]) {
    log.add(receipts(log.ledger.size, size));
    cosigning.wake();
    await until(() => signedBy(...witnesses));
    expect(witnesses.map(({ seen }) => seen.size)).toEqual([size, size]);
  }
  expect(said).toEqual([]);
  // A receipt that is fetched now has them in its proof.
  const file = Buffer.from(writeReceiptFile(log.envelopes[5]!, log.ledger.inclusion(5)));
  const { findings } = verifyReceiptFile(file, {
    keys: keys.known,
    witnesses: witnesses.map(({ key }) => key),
  });
  expect(findings.map(({ check, ok }) => [check, ok])).toEqual([
    ...['file', 'signature', 'inclusion', 'checkpoint', 'witness', 'witness'].map((check) => [check, true]),
  ]);
  // The log itself publishes on, and the same tree keeps its signatures.
  log.ledger.publish();
  expect(signedBy(...witnesses)).toBe(true);
});

test('a witness says which tree it saw last, and is asked from there', async () => {
  const { log, places, witnesses, cosigning, said, signedBy } = await witnessed(['w.example/1']);
  const [witness] = witnesses;
  log.add(receipts(0, 70));
  cosigning.wake();
  await until(() => signedBy(witness!));
  await cosigning.stop();
  log.add(receipts(70, 90));
  // Another run of the server, which does not know what the witness saw.
  const again = new Cosigning({
    folder: log.folder,
    keys: () => keys.known,
    witnesses: places,
    refused: ({ key }, sentence) => said.push(`${key.name}: ${sentence}`),
    failed: (error) => said.push(String(error)),
    patience: { answer: 60_000, pause: 20 },
  });
  toClose.push({ close: () => again.stop() });
  again.wake();
  await until(() => signedBy(witness!));
  expect(witness!.answered).toEqual([200, 409, 200]);
  expect(said).toEqual([]);
});

test('one that is down, silent, wrong or somebody else delays nothing and is asked again', async () => {
  const { log, witnesses, cosigning, said, signedBy } = await witnessed(
    ['w.example/good', 'w.example/bad'],
    500,
  );
  const [good, bad] = witnesses;
  const other = new TestWitness('w.example/bad', keys.known);
  const instead: Array<[TestWitness['instead'], string]> = [
    [() => ({ status: 503, text: 'later' }), 'w.example/bad: It answered 503: "later".'],
    [() => 'silence', 'w.example/bad: It did not answer in time.'],
    [() => ({ status: 200, text: 'signed\n' }), 'w.example/bad: "signed" is no line of a signature.'],
    [(body) => other.answer(body), 'w.example/bad: It did not sign with w.example/bad'],
    [() => ({ status: 409, text: 'many' }), 'w.example/bad: It answered 409 and "many", which is no size.'],
    [() => ({ status: 409, text: '999\n' }), 'w.example/bad: It saw 999 entries of this ledger, of which'],
    [
      () => ({ status: 200, text: 'x'.repeat(100_000) }),
      'w.example/bad: Its answer has more than 65536 bytes.',
    ],
  ];
  for (const [answer, sentence] of instead) {
    bad!.instead = answer;
    said.length = 0;
    log.add(receipts(log.ledger.size, log.ledger.size + 3));
    cosigning.wake();
    await until(() => signedBy(good!) && said.some((one) => one.startsWith(sentence)));
    expect(signedBy(bad!)).toBe(false);
  }
  bad!.instead = undefined;
  await until(() => signedBy(good!, bad!));
});

test('a witness does not sign a fork, and the ledger says why', async () => {
  const { log, witnesses, cosigning, said, signedBy } = await witnessed(['w.example/1']);
  log.add(receipts(0, 10));
  witnesses[0]!.seen = { size: 5, root: Buffer.alloc(32) };
  cosigning.wake();
  await until(() => said.length > 0);
  expect(said[0]).toBe('w.example/1: It answered 422: "".');
  expect(signedBy(...witnesses)).toBe(false);
  expect(signedBy()).toBe(true);
});
