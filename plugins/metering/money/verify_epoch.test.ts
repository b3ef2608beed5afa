import { generateKeyPairSync, hash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { type Envelope, signEnvelope, statementPayload } from '../keys/dsse.ts';
import { rawPublicKey } from '../keys/ed25519.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import { Ledger } from '../ledger/ledger.ts';
import { type Epoch, epochStatement } from './epoch.ts';
import { addresses, closeNow, testBooks, testKeys } from './testing/books.ts';
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
