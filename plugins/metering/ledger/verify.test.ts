import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { leafHash } from '../../datanet/snapshots/merkle.ts';
import { type Envelope, signEnvelope, statementPayload } from '../keys/dsse.ts';
import { KeyFolder } from '../keys/key_folder.ts';
import { parseVkey } from '../keys/vkey.ts';
import type { Finding } from './finding.ts';
import { writeReceiptFile } from './receipt_file.ts';
import { envelopeOf, receiptOf, TestLog } from './testing/logs.ts';
import { parseBundle, writeBundle } from './tiles.ts';
import { verifyLedger } from './verify_ledger.ts';
import { type ReceiptChecks, verifyReceiptFile } from './verify_receipt.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-verify-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const keys = new KeyFolder(join(root, 'keys'), 'log.example/ledger');
const known = keys.known;

const receipts = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => envelopeOf(keys, receiptOf(`chatcmpl-${from + at}`)));
const log = new TestLog(root, 'log', keys);
const checkpoints = [100, 300, 700].map((size) => log.add(receipts(log.ledger.size, size)));
/** The same up to 300, other entries from there on. */
const fork = new TestLog(root, 'fork', keys);
fork.add(log.envelopes.slice(0, 300));
const forked = fork.add(receipts(1300, 1700));

const wrong = (findings: readonly Finding[]) => findings.filter(({ ok }) => !ok);
const sentences = (findings: readonly Finding[]) =>
  wrong(findings).map(({ check, sentence }) => `${check}: ${sentence}`);

describe('a receipt', () => {
  const file = (index: number, change?: (json: { envelope: Envelope; proof: string }) => void): Buffer => {
    const json = JSON.parse(writeReceiptFile(log.envelopes[index]!, log.ledger.inclusion(index)));
    change?.(json);
    return Buffer.from(JSON.stringify(json));
  };
  const check = (bytes: Uint8Array, more: Partial<ReceiptChecks> = {}) =>
    sentences(verifyReceiptFile(bytes, { keys: known, ...more }).findings);
  const signed = (envelope: Envelope) => file(0, (json) => Object.assign(json, { envelope }));

  test('is in order, also with its JSON written in another way', () => {
    for (const index of [0, 299, 300, 699]) {
      const { findings, receipt } = verifyReceiptFile(file(index), { keys: known });
      expect(findings.map(({ check: name, ok }) => [name, ok])).toEqual([
        ['file', true],
        ['signature', true],
        ['inclusion', true],
        ['checkpoint', true],
      ]);
      expect(receipt?.id).toBe(`chatcmpl-${index}`);
    }
    expect(check(Buffer.from(JSON.stringify(JSON.parse(file(3).toString()), undefined, '\t')))).toEqual([]);
  });

  test('agrees with older and newer checkpoints, by a copy of the ledger or by a proof', () => {
    const early = new TestLog(root, 'early', keys);
    early.add(log.envelopes.slice(0, 200));
    const old = Buffer.from(writeReceiptFile(log.envelopes[7]!, early.ledger.inclusion(7)));
    for (const checkpoint of checkpoints) {
      expect(check(file(7), { checkpoint, proof: { folder: log.folder } })).toEqual([]);
      expect(check(old, { checkpoint, proof: { folder: log.folder } })).toEqual([]);
    }
    expect(check(old, { checkpoint: checkpoints[2]!, proof: { text: log.ledger.consistency(200) } })).toEqual(
      [],
    );
    expect(check(old, { checkpoint: checkpoints[2]!, proof: { text: log.ledger.consistency(100) } })).toEqual(
      ['consistency: The proof is of 100 and 700 entries, the checkpoints are of 200 and 700.'],
    );
    expect(check(old, { checkpoint: checkpoints[2]! })).toEqual([
      "consistency: Whether the log of 700 entries began as the one of 200 cannot be told without a proof or a copy of the ledger's folder.",
    ]);
  });

  test('of a forked ledger is found by any checkpoint of the other', () => {
    const of = (index: number) =>
      Buffer.from(writeReceiptFile(fork.envelopes[index]!, fork.ledger.inclusion(index)));
    expect(check(of(301), { checkpoint: forked })).toEqual([]);
    expect(check(of(301), { checkpoint: checkpoints[2]! })).toEqual([
      expect.stringMatching(
        /^consistency: Two checkpoints of 700 entries have different roots, .*: the log was forked\.$/,
      ),
    ]);
    const grown = new TestLog(root, 'grown', keys);
    grown.add(log.envelopes);
    const longer = grown.add(receipts(700, 800));
    for (const folder of [log.folder, fork.folder, grown.folder])
      expect(check(of(301), { checkpoint: longer, proof: { folder } })).toHaveLength(1);
    // The common beginning is common.
    expect(check(of(301), { checkpoint: checkpoints[0]!, proof: { folder: fork.folder } })).toEqual([]);
  });

  test('a number that was changed', () => {
    const changed = file(5, ({ envelope }) => {
      const text = Buffer.from(envelope.payload, 'base64').toString().replace('"total":20', '"total":21');
      envelope.payload = Buffer.from(text).toString('base64');
    });
    expect(check(changed)).toEqual([
      expect.stringMatching(
        /^signature: The signature of key [0-9a-f]{64} is not of this payload: one of both was changed\.$/,
      ),
      expect.stringMatching(
        /^inclusion: The ledger of 700 entries has not "receipt sha256:[0-9a-f]{64}" at 5: /,
      ),
    ]);
  });

  test('a number that was changed and signed anew is in no ledger', () => {
    expect(check(signed(envelopeOf(keys, { ...receiptOf('chatcmpl-0'), ended: 2001 })))).toEqual([
      expect.stringContaining('inclusion: The ledger of 700 entries has not'),
    ]);
  });

  test('of another installation, of another kind, of no form', () => {
    const other = new KeyFolder(join(root, 'other keys'), 'log.example/ledger');
    expect(check(file(0), { keys: other.known })).toEqual([
      expect.stringContaining('signature: The envelope is signed by'),
      expect.stringContaining(
        'checkpoint: No known key of log.example/ledger signed the checkpoint of 700 entries',
      ),
    ]);
    expect(check(signed(envelopeOf(keys, receiptOf('x'), 'urn:other')))[0]).toBe(
      'signature: What was signed is no receipt: its predicate is "urn:other", not "urn:colophon:receipt:v1".',
    );
    expect(check(signed(envelopeOf(keys, { ...receiptOf('x'), began: -1 })))[0]).toMatch(
      /^signature: What was signed is no receipt: at \/began it /,
    );
    expect(check(signed(signEnvelope(statementPayload, Buffer.from('{'), keys.signing)))[0]).toMatch(
      /^signature: /,
    );
    expect(check(file(0, (json) => Object.assign(json, { envelope: undefined })))).toEqual([
      'file: The file has no "envelope".',
    ]);
  });

  test('a proof that was changed', () => {
    const proof = (change: (text: string) => string) =>
      check(file(3, (json) => Object.assign(json, { proof: change(json.proof) })));
    expect(proof((text) => text.replace('index 3', 'index 4'))).toEqual([
      expect.stringContaining('inclusion: '),
    ]);
    expect(proof((text) => text.replace('\n700\n', '\n70\n'))).toEqual([
      expect.stringContaining('inclusion: '),
      expect.stringContaining('checkpoint: The signature of log.example/ledger'),
    ]);
    expect(proof(() => 'x')).toEqual(['file: The proof has no empty line before its checkpoint.']);
  });

  test('without the witness that it should have', () => {
    const witness = parseVkey('example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k');
    expect(check(file(0), { witnesses: [witness] })).toEqual([
      'witness: The witness example.com/foo did not sign the checkpoint of 700 entries.',
    ]);
  });

  test('no change of a byte goes unnoticed, and none throws', () => {
    const bytes = file(42);
    const { receipt } = verifyReceiptFile(bytes, { keys: known });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        const result = verifyReceiptFile(changed, { keys: known });
        // Or it says the same: a name that JSON ignores, or base64's other alphabet.
        if (wrong(result.findings).length === 0) expect(result.receipt).toEqual(receipt);
        for (const { sentence } of result.findings) expect(sentence).toMatch(/\.$/);
      }),
      { numRuns: 400 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (any) => {
          expect(wrong(verifyReceiptFile(any, { keys: known }).findings)).toHaveLength(1);
        },
      ),
    );
  });
});

describe('a ledger', () => {
  let copies = 0;
  /** A copy of the log's folder, changed. */
  const changed = (change: (path: (name: string) => string) => void, from = log.folder): string => {
    const folder = join(root, `copy ${copies++}`);
    cpSync(from, folder, { recursive: true });
    change((name) => join(folder, name));
    return folder;
  };
  const old = new Map(checkpoints.map((text, at) => [`checkpoint ${at}`, text]));
  const check = (folder: string, more = {}) => sentences(verifyLedger(folder, { keys: known, ...more }));
  /** Changes a bundle; `alike`: its tile as well. */
  const bundle = (number: string, change: (entries: Buffer[]) => void, alike = false) =>
    changed((path) => {
      const file = path(`tile/entries/${number}`);
      const entries = parseBundle(readFileSync(file))!;
      change(entries);
      writeFileSync(file, writeBundle(entries));
      if (alike) writeFileSync(path(`tile/0/${number}`), Buffer.concat(entries.map(leafHash)));
    });

  test('is in order, with all its older checkpoints', () => {
    expect(verifyLedger(log.folder, { keys: known, checkpoints: old })).toEqual([
      {
        check: 'checkpoint',
        ok: true,
        sentence: 'The checkpoint of 700 entries is signed by log.example/ledger.',
      },
      {
        check: 'entries',
        ok: true,
        sentence: expect.stringMatching(/^The 700 entries have the root [0-9a-f]{64}/),
      },
      {
        check: 'corrections',
        ok: true,
        sentence: 'Each of its 0 corrections is of a receipt before it, and none has two.',
      },
      ...[100, 300, 700].map((size, at) => ({
        check: 'older checkpoint',
        ok: true,
        sentence: `checkpoint ${at}: the first ${size} entries are as they were.`,
      })),
    ]);
  });

  test('a row that was deleted', () => {
    expect(check(bundle('001', (entries) => entries.splice(44, 1)))).toEqual([
      'entries: tile/entries/001: entry 300 was deleted.',
    ]);
  });

  test('rows that were swapped', () => {
    expect(
      check(
        bundle('000', (entries) => {
          [entries[5], entries[9]] = [entries[9]!, entries[5]!];
        }),
      ),
    ).toEqual(['entries: tile/entries/000: entries 5 and 9 were swapped.']);
  });

  test('a row that was changed, added, or cut off', () => {
    const change = (entries: Buffer[]) => {
      entries[4] = Buffer.from('receipt sha256:00');
    };
    expect(check(bundle('002.p/188', change))).toEqual([
      expect.stringMatching(
        /^entries: tile\/entries\/002\.p\/188: entry 516 was changed: it is "[0-9a-f]{64}" by its hash/,
      ),
    ]);
    expect(check(bundle('001', (entries) => entries.splice(3, 0, Buffer.from('x'))))).toEqual([
      'entries: tile/entries/001: at 259 is an entry that was never logged.',
    ]);
    expect(check(bundle('001', (entries) => entries.splice(200)))).toEqual([
      'entries: tile/entries/001: the entries from 456 on are missing: it was cut.',
    ]);
    expect(check(changed((path) => truncateSync(path('tile/entries/001'), 1000)))).toEqual([
      'entries: tile/entries/001 ends in the middle of an entry.',
    ]);
    expect(check(changed((path) => truncateSync(path('tile/0/001'), 1000)))).toEqual([
      'entries: tile/0/001 has 1000 bytes, not 8192: it was cut or changed.',
    ]);
    expect(check(changed((path) => rmSync(path('tile/1/000.p/2'))))).toEqual([
      'entries: tile/1/000.p/2 is missing.',
    ]);
  });

  test('entry and tile changed alike', () => {
    const alike = bundle(
      '000',
      (entries) => {
        entries[5] = Buffer.from('receipt sha256:00');
      },
      true,
    );
    expect(check(alike)).toEqual([
      'entries: tile/1/000.p/2 has another hash at 0 than the entries 0 to 255 have: it was changed.',
    ]);
    const last = bundle(
      '002.p/188',
      (entries) => {
        entries[5] = Buffer.from('receipt sha256:00');
      },
      true,
    );
    expect(check(last)).toEqual([
      expect.stringMatching(
        /^entries: There are 700 entries, root .*; the checkpoint has the root .*\. Entries and tiles were changed alike\.$/,
      ),
    ]);
    expect(check(last, { checkpoints: old })).toHaveLength(2);
  });

  test('a correction without its receipt, and a second one of a receipt', () => {
    const line = (of: number | string) => Buffer.from(`correction sha256:${'ab'.repeat(32)} of ${of}`);
    const found = (...lines: Buffer[]) => {
      const corrected = new TestLog(root, `corrected ${copies++}`, keys);
      corrected.add(log.envelopes.slice(0, 300));
      corrected.ledger.append(lines);
      corrected.ledger.checkpoint();
      corrected.ledger.publish();
      return verifyLedger(corrected.folder, { keys: known }).find(({ check }) => check === 'corrections')!;
    };
    expect(found(line(7), line(299))).toMatchObject({
      ok: true,
      sentence: 'Each of its 2 corrections is of a receipt before it, and none has two.',
    });
    expect(found(line(7), line(9), line(7))).toMatchObject({
      ok: false,
      sentence: 'The receipt that is entry 7 has two corrections: the entries 300 and 302.',
    });
    for (const none of [line(300), line(1000), line('07'), Buffer.from('correction x')])
      expect(found(none)).toMatchObject({
        ok: false,
        sentence: `Entry 300, "${none}", is a correction without a receipt before it.`,
      });
    expect(found(line(7), line(300)).sentence).toContain('Entry 301');
  });

  test('a log that its own key signed anew, cut or forked, is found by any older checkpoint', () => {
    expect(check(fork.folder)).toEqual([]);
    expect(check(fork.folder, { checkpoints: old })).toEqual([
      expect.stringMatching(
        /^older checkpoint: checkpoint 2 was of 700 entries, root .*, and the first 700 entries now have the root .*: history was rewritten, or the ledger forked\.$/,
      ),
    ]);
    const cut = new TestLog(root, 'cut', keys);
    cut.add(log.envelopes.slice(0, 200));
    expect(check(cut.folder, { checkpoints: old })).toEqual([
      expect.stringMatching(
        /^older checkpoint: checkpoint 1 was of 300 entries, .*, and the ledger now has 200 entries: it was cut after entry 199, or an older copy was put back\.$/,
      ),
      expect.stringContaining('checkpoint 2 was of 700 entries'),
    ]);
  });

  test('without a checkpoint, or with that of somebody else', () => {
    const none = changed((path) => rmSync(path('checkpoint')));
    expect(check(none)).toEqual([`checkpoint: ${none} has no checkpoint.`]);
    expect(check(join(root, 'nowhere'))).toHaveLength(1);
    const other = new KeyFolder(join(root, 'third keys'), 'log.example/ledger');
    expect(check(log.folder, { keys: other.known })[0]).toContain('checkpoint: No known key');
    expect(check(log.folder, { checkpoints: new Map([['mine', 'x']]) })).toEqual([
      'older checkpoint: mine: The note has no empty line before its signatures.',
    ]);
  });

  test('a bit changed in any file that the checkpoint covers is found', () => {
    const names = [
      'tile/0/000',
      'tile/0/001',
      'tile/0/002.p/188',
      'tile/1/000.p/2',
      'tile/entries/001',
      'checkpoint',
    ];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.nat(), (name, where) => {
        const folder = changed((path) => {
          const bytes = readFileSync(path(name));
          bytes[(where >> 3) % bytes.length]! ^= 1 << (where & 7);
          writeFileSync(path(name), bytes);
        });
        expect(check(folder).length).toBeGreaterThan(0);
        rmSync(folder, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });
});
