import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { verifyConsistency, verifyInclusion } from '../../datanet/snapshots/merkle.ts';
import { KeyFolder } from '../keys/key_folder.ts';
import { openCheckpoint } from './checkpoint.ts';
import { Ledger } from './ledger.ts';
import { parseConsistency, parseInclusion } from './proof_text.ts';
import { PublishedLedger } from './published.ts';
import { LedgerRefused } from './refused.ts';
import { plainRoot } from './testing/plain_tree.ts';
import { Tree } from './tree.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-ledger-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const keys = new KeyFolder(join(root, 'keys'), 'log.example/ledger');

const entryOf = (at: number) =>
  Buffer.from(`receipt sha256:${createHash('sha256').update(String(at)).digest('hex')}`);
const entriesOf = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => entryOf(from + at));

let places = 0;
class Place {
  readonly file = join(root, `${places}.db`);
  readonly folder = join(root, `published${places++}`);
  db = new Database(this.file);
  ledger = new Ledger(this.db, this.folder, keys);

  grow(entries: readonly Uint8Array[]): string {
    return this.db.transaction(() => {
      this.ledger.append(entries);
      return this.ledger.checkpoint();
    })();
  }
  open(): void {
    this.db.close();
    this.db = new Database(this.file);
    this.ledger = new Ledger(this.db, this.folder, keys);
  }
}

function grown(...sizes: number[]): Place {
  const place = new Place();
  for (const size of sizes) {
    place.grow(entriesOf(place.ledger.size, size));
    place.ledger.publish();
  }
  return place;
}

describe('a log in a database', () => {
  test('grows in any steps to the tree of RFC 6962, and every entry and beginning can be proved', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 5 }), (steps) => {
        const place = new Place();
        const checkpoints: string[] = [];
        let size = 0;
        for (const step of steps) {
          checkpoints.push(place.grow(entriesOf(size, size + step)));
          size += step;
        }
        const last = openCheckpoint(checkpoints.at(-1)!, keys.known);
        expect(last).toMatchObject({ size, root: plainRoot(entriesOf(0, size)) });
        for (const index of [0, size >> 1, size - 1].filter((at) => at >= 0 && at < size)) {
          const proof = parseInclusion(place.ledger.inclusion(index));
          expect(proof.checkpoint).toBe(checkpoints.at(-1));
          expect(verifyInclusion(entryOf(index), proof.index, size, proof.path, last.root)).toBe(true);
        }
        for (const one of checkpoints) {
          const old = openCheckpoint(one, keys.known);
          const proof = parseConsistency(place.ledger.consistency(old.size));
          if (old.size === 0) expect(proof.path).toEqual([]);
          else expect(verifyConsistency(old.size, old.root, size, last.root, proof.path)).toBe(true);
        }
        expect(place.ledger.audit()).toEqual([]);
        place.db.close();
      }),
      { numRuns: 15 },
    );
  });

  test('what is rolled back was never there', () => {
    const { db, ledger } = grown(5);
    const before = ledger.signed()!.text;
    const fails = db.transaction(() => {
      expect(ledger.append(entriesOf(5, 600))).toBe(5);
      ledger.checkpoint();
      throw new Error('rolled back');
    });
    expect(() => fails()).toThrow('rolled back');
    expect([ledger.size, ledger.signed()!.text]).toEqual([5, before]);
    expect(ledger.append([entryOf(5)])).toBe(5);
  });

  test('the same tree is signed once, and again by a new key', () => {
    const place = grown(3);
    const first = place.ledger.checkpoint();
    expect(place.ledger.checkpoint()).toBe(first);
    keys.rotate();
    const second = place.ledger.checkpoint();
    expect(second).not.toBe(first);
    const published = place.ledger.publish();
    expect(published.text).toBe(second);
    expect(openCheckpoint(first, keys.known).root).toEqual(published.root);
  });

  test('takes no entry whose length cannot be written', () => {
    const { ledger } = new Place();
    expect(() => ledger.append([Buffer.alloc(65_536)])).toThrow('An entry has 65536 bytes');
    expect(ledger.append([Buffer.alloc(65_535)])).toBe(0);
  });

  test('two servers cannot add to it at once', () => {
    const place = grown(3);
    const other = new Database(place.file);
    const ledger = new Ledger(other, place.folder, keys);
    ledger.append([entryOf(3)]);
    expect(place.ledger.size).toBe(4);
    place.db.exec('BEGIN');
    place.ledger.append([entryOf(4)]);
    other.pragma('busy_timeout = 0');
    expect(() => ledger.append([entryOf(4)])).toThrow('database is locked');
    place.db.exec('COMMIT');
    other.close();
  });
});

describe('a published log', () => {
  test('has the tiles of its checkpoint, and goes on from the one before', () => {
    const place = new Place();
    for (const size of [0, 1, 2, 255, 256, 257, 700, 701]) {
      place.grow(entriesOf(place.ledger.size, size));
      const { root } = place.ledger.publish();
      const published = new PublishedLedger(place.folder);
      const read = openCheckpoint(published.checkpoint()!, keys.known);
      expect(new Tree(published, read.size).root()).toEqual(root);
      expect(root).toEqual(plainRoot(entriesOf(0, size)));
    }
    // Partial tiles are there until the full one is.
    expect(readdirSync(join(place.folder, 'tile', '0')).sort()).toEqual(['000', '001', '002.p']);
    expect(readdirSync(join(place.folder, 'tile', '0', '002.p')).sort()).toEqual(['188', '189']);
    expect(readdirSync(join(place.folder, 'tile', '1', '000.p')).sort()).toEqual(['1', '2']);
    const published = new PublishedLedger(place.folder);
    expect(new Tree(published, 700).root()).toEqual(plainRoot(entriesOf(0, 700)));
    // Of a size that was not published: from wider tiles.
    expect(new Tree(published, 300).root()).toEqual(plainRoot(entriesOf(0, 300)));
    expect(published.bundle(2, 3)).toEqual(entriesOf(512, 515));
  });

  test('is made again where it is missing, and finished where a crash left it half done', () => {
    const place = grown(300);
    const files = (readdirSync(place.folder, { recursive: true }) as string[]).sort();
    rmSync(place.folder, { recursive: true });
    place.open();
    place.ledger.publish();
    expect((readdirSync(place.folder, { recursive: true }) as string[]).sort()).toEqual(files);
    const before = readFileSync(join(place.folder, 'checkpoint'));
    place.grow(entriesOf(300, 600));
    place.ledger.publish();
    // Tiles of the greater tree, the checkpoint of the smaller one, and half of a file.
    writeFileSync(join(place.folder, 'checkpoint'), before);
    writeFileSync(join(place.folder, 'tile', '0', '001.tmp'), 'half');
    rmSync(join(place.folder, 'tile', '0', '002.p'), { recursive: true });
    place.open();
    expect(place.ledger.publish().size).toBe(600);
    expect(new Tree(new PublishedLedger(place.folder), 600).root()).toEqual(plainRoot(entriesOf(0, 600)));
  });

  test('gets back what somebody took out of it', () => {
    const place = grown(600);
    const files = (readdirSync(place.folder, { recursive: true }) as string[]).sort();
    rmSync(join(place.folder, 'tile', 'entries'), { recursive: true });
    const before = place.ledger.publish(true);
    expect((readdirSync(place.folder, { recursive: true }) as string[]).sort()).toEqual(files);
    expect(before.size).toBe(600);
  });

  test('never gets other bytes where some are', () => {
    const place = grown(256);
    const tile = join(place.folder, 'tile', '0', '000');
    const before = readFileSync(tile);
    before[77]! ^= 1;
    writeFileSync(tile, before);
    rmSync(join(place.folder, 'checkpoint'));
    expect(() => place.ledger.publish()).toThrow(`${tile} was published with other bytes`);
    expect(readFileSync(tile)).toEqual(before);
    expect(existsSync(join(place.folder, 'checkpoint'))).toBe(false);
  });
});

describe('what is not the ledger that it was is refused at the start', () => {
  const refused = (place: Place) => {
    try {
      place.open();
    } catch (error) {
      expect(error).toBeInstanceOf(LedgerRefused);
      return (error as Error).message;
    }
    return undefined;
  };
  const hex = (size: number) => plainRoot(entriesOf(0, size)).toString('hex');

  test("yesterday's backup", () => {
    const place = grown(300);
    const backup = join(root, 'backup.db');
    place.db.pragma('wal_checkpoint(TRUNCATE)');
    cpSync(place.file, backup);
    place.grow(entriesOf(300, 310));
    place.ledger.publish();
    place.db.close();
    cpSync(backup, place.file);
    expect(refused(place)).toBe(
      `The ledger's database has 300 entries, root ${hex(300)}, and 310 entries, root ${hex(310)} is published in ${place.folder}: the database is an older copy, or was cut after entry 299. Put back the newest copy of it.`,
    );
  });

  test('a database that is new', () => {
    const place = grown(3);
    expect(() => new Ledger(new Database(':memory:'), place.folder, keys)).toThrow(
      `has 0 entries, root ${hex(0)}, and 3 entries, root ${hex(3)} is published in ${place.folder}: the database is a new one.`,
    );
  });

  test('a backup that grew on by other entries', () => {
    const place = grown(300);
    const backup = join(root, 'forked.db');
    cpSync(place.file, backup);
    place.grow(entriesOf(300, 310));
    place.ledger.publish();
    place.db.close();
    const fork = new Database(backup);
    const elsewhere = new Ledger(fork, join(root, 'elsewhere'), keys);
    elsewhere.append([...entriesOf(300, 304), ...entriesOf(1000, 1010)]);
    elsewhere.checkpoint();
    fork.close();
    cpSync(backup, place.file);
    const sentence = refused(place)!;
    expect(sentence).toContain(`the published ones ${hex(310)}. They differ from entry 304 on.`);
    expect(sentence).toContain('is not the one that is published');
  });

  /** All inside the last tile, which the start reads; what lies before it is the audit's. */
  test.each<[string, string, string]>([
    [
      'a row that was changed',
      "UPDATE ledger_entries SET entry = x'00' WHERE number = 290",
      'its entries have the root',
    ],
    ['a row that was deleted', 'DELETE FROM ledger_entries WHERE number = 290', 'Entry 290 is missing'],
    [
      'rows that were swapped',
      'UPDATE ledger_entries SET number = 581 - number WHERE number IN (290, 291)',
      '',
    ],
    [
      'the end cut off',
      'DELETE FROM ledger_entries WHERE number >= 280',
      'its last entry is 279, its head says 300 entries',
    ],
    [
      'a row too many',
      "INSERT INTO ledger_entries VALUES (300, x'00')",
      'its last entry is 300, its head says 300 entries',
    ],
    ['a changed edge', "UPDATE ledger_head SET edge = x'00'", 'hashes on its edge'],
    ['a changed size', 'UPDATE ledger_head SET size = 299', 'hashes on its edge'],
    ['a changed root', 'UPDATE ledger_head SET signed_root = zeroblob(32)', 'was signed'],
    [
      'a changed checkpoint',
      "UPDATE ledger_head SET checkpoint = replace(checkpoint, '300', '301')",
      'is not of this text',
    ],
    ['no checkpoint', "UPDATE ledger_head SET checkpoint = ''", 'the checkpoint in it is not of 300 entries'],
    ['a lost node', 'DELETE FROM ledger_nodes', 'lacks hashes of level'],
  ])('%s', (what, sql, why) => {
    const place = grown(300);
    if (what.includes('swapped'))
      place.db.exec(
        'UPDATE ledger_entries SET number = -1 WHERE number = 290; UPDATE ledger_entries SET number = 290 WHERE number = 291; UPDATE ledger_entries SET number = 291 WHERE number = -1',
      );
    else place.db.exec(sql);
    expect(refused(place)).toContain(why || 'its entries have the root');
  });

  test('rows far back, by the audit', () => {
    const change = (sql: string) => {
      const place = grown(600);
      place.db.exec(sql);
      place.open();
      return place.ledger.audit();
    };
    expect(change('SELECT 1')).toEqual([]);
    expect(change("UPDATE ledger_entries SET entry = x'00' WHERE number = 7")).toEqual([
      'Entries 0 to 15 are not those that were logged.',
      'Entries 0 to 255 are not those that were logged.',
      expect.stringMatching(/^There are 600 entries, root .*; the ledger's head says 600 entries, root /),
    ]);
    expect(change('DELETE FROM ledger_entries WHERE number = 7')).toEqual([
      'Entry 7 is missing; the next is 8.',
    ]);
  });

  test('a published checkpoint of somebody else, or a damaged one', () => {
    const place = grown(3);
    const other = new KeyFolder(join(root, 'others'), 'other.example/ledger');
    place.db.close();
    expect(() => new Ledger(new Database(':memory:'), place.folder, other)).toThrow(
      'is none of this ledger\'s: The checkpoint is of "log.example/ledger", the keys of "other.example/ledger".',
    );
    writeFileSync(join(place.folder, 'checkpoint'), 'x');
    expect(refused(place)).toContain('is none of this ledger');
  });
});
