import { generateKeyPairSync, hash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { type Envelope, signEnvelope, statementPayload } from '../keys/dsse.ts';
import { rawPublicKey } from '../keys/ed25519.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import { Ledger } from '../ledger/ledger.ts';
import { type Epoch, epochStatement, succession } from './epoch.ts';
import { type CountedDocument, type CountedReceipt, EpochReceipts } from './epoch_receipts.ts';
import { addresses, amounts, changesOf, closeNow, testBooks, testKeys } from './testing/books.ts';
import { verifyEpochFile } from './verify_epoch.ts';

interface File {
  envelope: Envelope;
  predicate: Epoch;
  proof: string;
}

/** Of two epochs: the ledger has receipts, the first epoch, another receipt and the second. */
function files(): File[] {
  const db = new Database(':memory:');
  const ledger = new Ledger(db, join(tmpdir(), 'colophon-no-ledger'), testKeys);
  const { books, receipt, close } = testBooks({}, db, (entry) => ledger.append([entry]));
  books.setAddress({ account: 'contributor:ada', address: addresses[0]!, since: 1, by: 'operator' });
  receipt({ 'contributor:ada': 50, platform: 4 });
  receipt({ pool: 3 });
  close();
  receipt({ 'contributor:ada': 9 });
  close();
  ledger.checkpoint();
  return [1, 2].map((number) => {
    const { envelope, predicate, entry } = books.epoch(number);
    return { envelope: JSON.parse(envelope!), predicate, proof: ledger.inclusion(entry!) };
  });
}

const [first, second] = files() as [File, File];
const keys = testKeys.known;
const wrong = (given: object, root?: string) =>
  verifyEpochFile(given, { keys, ...(root === undefined ? {} : { root }) })
    .findings.filter(({ ok }) => !ok)
    .map(({ check, sentence }) => `${check}: ${sentence}`);
/** Signed anew by the same key, with other bytes. */
const signed = (file: File, change: (statement: string) => string): File => {
  const payload = change(Buffer.from(file.envelope.payload, 'base64').toString());
  return { ...file, envelope: signEnvelope(statementPayload, Buffer.from(payload), testKeys.signing) };
};

test('what was closed holds, after JSON too', () => {
  for (const file of [first, second]) {
    const root = file.predicate.distribution!.root;
    expect(wrong(JSON.parse(JSON.stringify(file)), root)).toEqual([]);
    expect(verifyEpochFile(file, { keys }).epoch).toEqual(file.predicate);
  }
  expect(verifyEpochFile(second, { keys }).findings.map(({ check }) => check)).toEqual([
    'signature',
    'numbers',
    'root',
    'inclusion',
  ]);
});

test('what was changed is named', () => {
  expect(wrong({ ...first, predicate: second.predicate })).toEqual([
    'numbers: What is signed says something else.',
  ]);
  expect(wrong({ ...first, proof: second.proof })).toEqual([
    expect.stringMatching(/^inclusion: The ledger of 5 entries has not "epoch sha256:[0-9a-f]{64}" at 4/),
  ]);
  expect(wrong({ ...first, envelope: second.envelope })).toHaveLength(2);
  expect(wrong(first, `0x${'1'.repeat(64)}`)).toEqual([expect.stringMatching(/^root: Its root is 0x/)]);
  const { payload, ...rest } = first.envelope;
  const changed = Buffer.from(payload, 'base64').toString().replace('"earned":"50"', '"earned":"51"');
  expect(
    wrong({ ...first, envelope: { ...rest, payload: Buffer.from(changed).toString('base64') } }),
  ).toEqual([
    expect.stringMatching(/^signature: The signature of key [0-9a-f]{64} is not of this payload/),
    expect.stringMatching(/^inclusion: /),
  ]);
  expect(wrong({ ...first, proof: undefined })).toEqual([
    'inclusion: The file has no proof that the ledger has it.',
  ]);
  expect(wrong({ ...first, proof: first.proof.replace(/\n— .*\n$/, '\n') })).toHaveLength(1);
});

test('what our own key signed is looked at all the same', () => {
  const sentences = (change: (statement: string) => string) => wrong(signed(first, change)).join(' ');
  expect(
    sentences((text) => text.replace('"epoch:v1"', '"x"').replace('urn:colophon:epoch:v1', 'urn:x')),
  ).toContain('signature: What was signed is no epoch: its predicate is "urn:x"');
  expect(sentences((text) => text.replace('"earned":"50"', '"earned":"51"'))).toContain(
    'signature: What was signed has the digest of another epoch.',
  );
  expect(sentences((text) => text.replace('"earned":"50"', '"earned":50'))).toContain(
    'signature: What was signed is no epoch: at /statements/0/earned it',
  );
  expect(sentences(() => 'x')).toContain('signature: ');
  // Numbers that do not add up, with the right digest.
  const db = new Database(':memory:');
  const { books, receipt } = testBooks({}, db);
  receipt({ pool: 3 });
  const closed = closeNow(books, 1);
  closed.epoch.totals.earned = '4';
  const json = JSON.stringify(closed.epoch);
  const sha256 = hash('sha256', json, 'hex');
  const statement = epochStatement({ epoch: closed.epoch, json, sha256 });
  const envelope = signEnvelope(statementPayload, statement, testKeys.signing);
  expect(wrong({ ...first, envelope, predicate: closed.epoch })[0]).toBe(
    "numbers: The statements' earned sums to 3, and the total says 4.",
  );
});

test('an epoch goes on from the one before, and from no other', () => {
  const findings = (file: File, previous: object) =>
    verifyEpochFile(file, { keys, previous }).findings.find(({ check }) => check === 'previous');
  expect(findings(second, first)).toEqual({
    check: 'previous',
    ok: true,
    sentence: 'It goes on from epoch 1.',
  });
  expect(findings(first, second)?.sentence).toBe('Epoch 1 names another one before it than this epoch 2.');
  expect(findings(second, {})?.sentence).toContain('Of the epoch before: This is no DSSE envelope');

  const sha256 = hash('sha256', JSON.stringify(first.predicate), 'hex');
  const fault = (change: (before: Epoch, after: Epoch) => void) => {
    const [before, after] = structuredClone([first.predicate, second.predicate]) as [Epoch, Epoch];
    change(before, after);
    return succession(before, sha256, after);
  };
  expect(fault(() => {})).toBeNull();
  const pool = ({ statements }: Epoch) => statements.find(({ account }) => account === 'pool')!;
  const changes: Array<[change: Parameters<typeof fault>[0], why: string]> = [
    [(_, { entries }) => entries.from++, 'It begins at entry'],
    [(before) => Object.assign(before, { currency: 'x' }), 'It is in microUSD, and the one before in x.'],
    [({ totals }) => Object.assign(totals, { withheld_out: '9' }), 'It begins with 0 withheld'],
    [(_, { totals }) => Object.assign(totals, { held_in: '9' }), 'It begins with 9 held'],
    [(_, after) => Object.assign(pool(after), { carried_in: '9' }), "'pool' carries 9 in, and carried 3 out"],
    [(_, { statements }) => statements.pop(), "'pool' carried 3 out of the one before, and is not named."],
  ];
  for (const [change, why] of changes) expect(fault(change)).toContain(why);
});

test('an epoch says what its receipts say, and what is left out, changed or put in is named', () => {
  const receipts: Array<[number, CountedReceipt]> = [
    [0, { id: 'a', fee: { currency: 'microUSD' }, owed: amounts({ 'contributor:ada': 50, platform: 4 }) }],
    [1, { id: 'b', fee: { currency: 'microUSD' }, owed: amounts({ pool: 3 }) }],
    [3, { id: 'c', fee: { currency: 'microUSD' }, owed: amounts({ 'contributor:ada': 9 }) }],
  ];
  const told = (some: typeof receipts) =>
    verifyEpochFile(first, { keys, receipts: some }).findings.find(({ check }) => check === 'receipts');
  expect(told(receipts)).toEqual({
    check: 'receipts',
    ok: true,
    sentence: 'It says what its 2 receipts say.',
  });
  expect(told(receipts.slice(1))?.sentence).toBe(
    'The epoch counts 2 receipts, and 1 of its entries are here.',
  );
  expect(told([...receipts, receipts[0]!])?.sentence).toBe('The receipt a, entry 0, is there twice.');
  const with1 = (change: Partial<CountedReceipt>) => receipts.with(1, [1, { ...receipts[1]![1], ...change }]);
  expect(told(with1({ owed: amounts({ pool: 4 }) }))?.sentence).toBe(
    'The receipts are worth 58, and the epoch says 57.',
  );
  expect(told(with1({ owed: amounts({ platform: 3 }) }))?.sentence).toBe(
    "'platform' earns 7 by 2 receipts, and the epoch says 4 by 1.",
  );
  expect(told(with1({ fee: { currency: 'x' } }))?.sentence).toBe(
    'The receipt b is in x, the epoch in microUSD.',
  );
});

test('an epoch says what corrections change, and one that is left out, changed, put in or twice is named', () => {
  const { books, db, receipt, correct, close } = testBooks();
  receipt({ 'contributor:ada': 50 }, 'a');
  receipt({ 'contributor:ada': 20 }, 'b');
  books.openDispute({ receipt: 'b', reason: '', by: 'x', at: 1 });
  for (const id of ['a', 'b']) correct(id, { 'contributor:ada': -7n, pool: 7n });
  const epoch = close();
  const changes = changesOf({ 'contributor:ada': -7n, pool: 7n });
  const all: Array<[number, CountedDocument]> = [
    [0, { id: 'a', fee: { currency: 'microUSD' }, owed: amounts({ 'contributor:ada': 50 }) }],
    [1, { id: 'b', fee: { currency: 'microUSD' }, owed: amounts({ 'contributor:ada': 20 }) }],
    [2, { receipt: { id: 'a', entry: 0 }, changes }],
    [3, { receipt: { id: 'b', entry: 1 }, changes }],
  ];
  const fault = (some: typeof all) => {
    const counted = new EpochReceipts(epoch);
    for (const [index, document] of some) counted.add(index, document);
    return counted.fault();
  };
  expect(db.prepare('SELECT count(*) FROM corrections').pluck().get()).toBe(2);
  expect(epoch.statements).toMatchObject([
    { account: 'contributor:ada', earned: '50', corrections: 1, corrected: '-7' },
    { account: 'pool', receipts: 0, earned: '0', corrections: 1, corrected: '7' },
  ]);
  expect(fault(all)).toBeNull();
  expect(fault(all.toSpliced(2, 1))).toBe('The epoch counts 2 corrections, and 1 of its entries are here.');
  expect(fault([...all, all[2]!])).toBe('The correction of a, entry 2, is there twice.');
  expect(fault([...all, [99, { receipt: { id: 'a', entry: 0 }, changes }]])).toBe(
    'The receipt a, entry 0, has two corrections: the entries 2 and 99.',
  );
  expect(fault(all.with(2, [2, { receipt: { id: 'x', entry: 7 }, changes }]))).toBe(
    'The correction at 2 is of a receipt at 7, where there is none.',
  );
  const more = changesOf({ 'contributor:ada': -8n, pool: 8n });
  expect(fault(all.with(2, [2, { receipt: { id: 'a', entry: 0 }, changes: more }]))).toBe(
    "'contributor:ada' is corrected by -8 by 1 corrections, and the epoch says -7 by 1.",
  );
});

test('another key, and what is no file of an epoch at all', () => {
  const stranger = PublicKeys.of('test.example', [rawPublicKey(generateKeyPairSync('ed25519').privateKey)]);
  const { findings, epoch } = verifyEpochFile(first, { keys: stranger });
  expect(findings.map(({ check, ok }) => [check, ok])).toEqual([
    ['signature', false],
    ['inclusion', false],
  ]);
  expect(epoch).toBeUndefined();
  for (const given of [
    {},
    { envelope: null },
    { envelope: 7, proof: 7 },
    { envelope: first.envelope, proof: 'x' },
  ])
    expect(wrong(given).length).toBeGreaterThan(0);
});
