/**
 * The log in a SQLite database that its caller owns, and in whose transactions it writes: entries, the roots of full subtrees of 16,
 * 256... of them, and one row with the tree's right edge and the checkpoint that was signed last. Nothing is kept in memory, so that
 * a transaction that is rolled back leaves nothing behind.
 */
import type { KeyObject } from 'node:crypto';
import type Database from 'better-sqlite3';
import { hashBytes, leafHash, verifyConsistency } from '../../datanet/snapshots/merkle.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import type { VerifierKey } from '../keys/vkey.ts';
import { auditLedger, firstDifference } from './audit.ts';
import { type Checkpoint, openCheckpoint, signCheckpoint, type TreeHead } from './checkpoint.ts';
import { Edge, nodeFanout } from './edge.ts';
import { parseNote } from './note.ts';
import { writeConsistency, writeInclusion } from './proof_text.ts';
import { type LogSource, publishTiles } from './publish.ts';
import { PublishedLedger } from './published.ts';
import { LedgerRefused, told } from './refused.ts';
import { longestEntry, tileWidth } from './tiles.ts';
import { Tree } from './tree.ts';

const schema = `
  CREATE TABLE IF NOT EXISTS ledger_entries (number INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS ledger_nodes (
    level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, number)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ledger_head (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    size INTEGER NOT NULL, edge BLOB NOT NULL,
    signed_size INTEGER NOT NULL, signed_root BLOB NOT NULL, checkpoint TEXT NOT NULL
  ) STRICT;`;

export interface LedgerHead {
  size: number;
  edge: Buffer;
  signed_size: number;
  signed_root: Buffer;
  /** Empty before the first. */
  checkpoint: string;
}

/** Who signs checkpoints: the key that signs now is the last of `known`. */
export interface LedgerKeys {
  signing: KeyObject;
  known: PublicKeys;
}

const signedBy = (checkpoint: string, key: VerifierKey) =>
  checkpoint !== '' &&
  parseNote(checkpoint).signatures.some(({ name, id }) => name === key.name && id === key.id);

export class Ledger implements LogSource {
  readonly #keys: LedgerKeys;
  readonly #folder: string;
  readonly #head: Database.Statement<[], LedgerHead>;
  readonly #setEdge: Database.Statement<[number, Buffer, number]>;
  readonly #setSigned: Database.Statement<[number, Buffer, string, number, Buffer]>;
  readonly #addEntry: Database.Statement<[number, Uint8Array]>;
  readonly #addNode: Database.Statement<[number, number, Buffer]>;
  readonly #entries: Database.Statement<[number, number], { number: number; entry: Buffer }>;
  readonly #nodes: Database.Statement<[number, number, number], { number: number; hash: Buffer }>;
  readonly #last: Database.Statement<[], { number: number }>;

  /**
   * Makes its tables where they are not there. `folder`: where it is published. Throws LedgerRefused where the database is not what was
   * signed or published: older (a backup that was put back), forked, cut or changed.
   */
  constructor(db: Database.Database, folder: string, keys: LedgerKeys) {
    this.#keys = keys;
    this.#folder = folder;
    db.exec(schema);
    const none = new Edge();
    db.prepare("INSERT OR IGNORE INTO ledger_head VALUES (0, 0, ?, 0, ?, '')").run(none.bytes(), none.root());
    this.#head = db.prepare('SELECT size, edge, signed_size, signed_root, checkpoint FROM ledger_head');
    this.#setEdge = db.prepare('UPDATE ledger_head SET size = ?, edge = ? WHERE size = ?');
    this.#setSigned = db.prepare(
      'UPDATE ledger_head SET signed_size = ?, signed_root = ?, checkpoint = ? WHERE signed_size = ? AND signed_root = ?',
    );
    this.#addEntry = db.prepare('INSERT INTO ledger_entries VALUES (?, ?)');
    this.#addNode = db.prepare('INSERT INTO ledger_nodes VALUES (?, ?, ?)');
    this.#entries = db.prepare(
      'SELECT number, entry FROM ledger_entries WHERE number >= ? ORDER BY number LIMIT ?',
    );
    this.#last = db.prepare('SELECT number FROM ledger_entries ORDER BY number DESC LIMIT 1');
    this.#nodes = db.prepare(
      'SELECT number, hash FROM ledger_nodes WHERE level = ? AND number >= ? ORDER BY number LIMIT ?',
    );
    this.#check();
  }

  get size(): number {
    return this.#head.get()!.size;
  }

  /** The last that was signed; undefined before the first. */
  signed(): Checkpoint | undefined {
    const { checkpoint } = this.#head.get()!;
    return checkpoint === '' ? undefined : openCheckpoint(checkpoint, this.#keys.known);
  }

  /** Adds entries in the caller's transaction; gives the first one's index. At most 65,535 bytes each. */
  append(entries: readonly Uint8Array[]): number {
    for (const { length } of entries)
      if (length > longestEntry)
        throw new RangeError(`An entry has ${length} bytes; at most ${longestEntry} can be logged.`);
    const { size, edge: bytes } = this.#head.get()!;
    const edge = new Edge(size, bytes);
    for (const entry of entries) {
      this.#addEntry.run(edge.size, entry);
      edge.add(leafHash(entry), (level, index, hash) => this.#addNode.run(level, index, hash));
    }
    if (this.#setEdge.run(edge.size, edge.bytes(), size).changes !== 1)
      throw new LedgerRefused(
        'Somebody else added to the ledger at the same time. Only one server may use it.',
      );
    return size;
  }

  /**
   * Signs the tree as it is, in the caller's transaction: nothing signed must leave before that is durable. Never a smaller tree
   * than was signed before, nor another of that size: throws LedgerRefused.
   */
  checkpoint(): string {
    const head = this.#head.get()!;
    const now: TreeHead = { size: head.size, root: new Edge(head.size, head.edge).root() };
    const before: TreeHead = { size: head.signed_size, root: head.signed_root };
    if (now.size < before.size || (now.size === before.size && !now.root.equals(before.root)))
      throw new LedgerRefused(
        `The ledger has ${told(now)}, and ${told(before)} was signed before: it was cut or changed.`,
      );
    const { signing, known } = this.#keys;
    const key = known.keys.at(-1)!.note;
    if (now.size === before.size && signedBy(head.checkpoint, key)) return head.checkpoint;
    const checkpoint = signCheckpoint(key, signing, now);
    if (this.#setSigned.run(now.size, now.root, checkpoint, before.size, before.root).changes !== 1)
      throw new LedgerRefused(
        'Somebody else signed the ledger at the same time. Only one server may use it.',
      );
    return checkpoint;
  }

  /**
   * c2sp.org/tlog-proof of an entry, in the checkpoint that is published, which others may have signed, or in the one that was signed
   * last where that has not the entry yet.
   */
  inclusion(index: number): string {
    const published = this.#published();
    const { size, text } = published && index < published.size ? published : this.#signedTree();
    return writeInclusion({ index, path: this.#tree(size).inclusion(index), checkpoint: text });
  }

  /** That the checkpoint that was signed last goes on from the first `size` entries: what a witness is sent. */
  consistency(old: number): string {
    const { size, text } = this.#signedTree();
    return writeConsistency({ old, path: this.#tree(size).consistency(old), checkpoint: text });
  }

  /**
   * Writes the tiles of the checkpoint that was signed last, and then it, below the folder. After the transaction that signed it is
   * durable. `whole`: also what is missing, or changed, of earlier tiles, all of which it reads. Throws LedgerRefused where something
   * else is published already, and nothing is replaced then.
   */
  publish(whole = false): Checkpoint {
    const checkpoint = this.#signedTree();
    const before = this.#published();
    if (before) this.#checkPublished(before, checkpoint.size);
    // It may have signatures of witnesses by now.
    const isNew =
      before?.size !== checkpoint.size || !signedBy(before.text, this.#keys.known.keys.at(-1)!.note);
    const next = isNew ? checkpoint : before;
    if (isNew || whole) publishTiles(this.#folder, this, whole ? 0 : (before?.size ?? 0), next);
    return next;
  }

  /** Reads every entry and makes all hashes again: sentences of what is wrong, with the indices; none where all is well. */
  audit(): string[] {
    return auditLedger(this, this.#head.get()!);
  }

  /** Hashes of a tile, and entries of a bundle, as they are to be published. */
  tile(level: number, number: number, width: number): Buffer {
    return this.#hashes(level * (Math.log2(tileWidth) / Math.log2(nodeFanout)), number * tileWidth, width);
  }

  bundle(number: number, width: number): Buffer[] {
    return this.#some(number * tileWidth, width);
  }

  /** Roots of `count` subtrees of 16^level entries, the first of them the subtree `first`. */
  #hashes(level: number, first: number, count: number): Buffer {
    if (level === 0) return Buffer.concat(this.#some(first, count).map(leafHash));
    const rows = this.#nodes.all(level, first, count);
    if (
      rows.length < count ||
      rows.some(({ number, hash }, at) => number !== first + at || hash.length !== hashBytes)
    )
      throw new LedgerRefused(`The ledger's database lacks hashes of level ${level} from ${first} on.`);
    return Buffer.concat(rows.map(({ hash }) => hash));
  }

  /** The tree of its first entries. */
  #tree(size: number): Tree {
    const tile = (level: number, number: number, width: number) =>
      this.#hashes(level, number * nodeFanout, width);
    return new Tree({ fanout: nodeFanout, tile }, size);
  }

  #some(first: number, width: number): Buffer[] {
    const rows = this.#entries.all(first, width);
    const missing = rows.findIndex((row, at) => row.number !== first + at);
    if (missing >= 0 || rows.length < width)
      throw new LedgerRefused(
        `Entry ${first + (missing < 0 ? rows.length : missing)} is missing in the ledger's database.`,
      );
    return rows.map(({ entry }) => entry);
  }

  /** The root of a full subtree of 16^level entries, as it is kept. */
  node(level: number, index: number): Buffer | undefined {
    const [row] = this.#nodes.all(level, index, 1);
    return row?.number === index ? row.hash : undefined;
  }

  /** Entries in order, as they are. */
  entries(): IterableIterator<{ number: number; entry: Buffer }> {
    return this.#entries.iterate(Number.MIN_SAFE_INTEGER, -1);
  }

  #check(): void {
    const head = this.#head.get()!;
    const why = this.#inconsistency(head);
    if (why !== undefined)
      throw new LedgerRefused(
        `The ledger's database was cut or changed: ${why} Put back the newest copy of it.`,
      );
    const published = this.#published();
    if (published) this.#checkPublished(published, head.size);
  }

  /** Why the last tiles, the edge and what was signed are not of one tree; audit() looks at what lies before. */
  #inconsistency({ size, edge, signed_size, signed_root }: LedgerHead): string | undefined {
    try {
      const root = new Edge(size, edge).root();
      const signed = { size: signed_size, root: signed_root };
      if (signed_size > size) return `it has ${told({ size, root })}, and ${told(signed)} was signed.`;
      const { number: last = -1 } = this.#last.get() ?? {};
      if (last !== size - 1) return `its last entry is ${last}, its head says ${told({ size, root })}.`;
      const tree = this.#tree(size);
      const found = tree.root();
      if (!found.equals(root))
        return `its entries have the root ${found.toString('hex')}, its head says ${told({ size, root })}.`;
      const then = tree.rootAt(signed_size);
      if (!then.equals(signed_root))
        return `its first ${signed_size} entries have the root ${then.toString('hex')}, and ${told(signed)} was signed.`;
      const checkpoint = this.signed();
      if (
        checkpoint ? checkpoint.size !== signed_size || !checkpoint.root.equals(signed_root) : signed_size > 0
      )
        return `the checkpoint in it is not of ${told(signed)}.`;
      return undefined;
    } catch (error) {
      // What SQLite itself says is no finding.
      if ('code' in (error as object)) throw error;
      return (error as Error).message;
    }
  }

  /** That what is published is how the first `size` entries of this ledger begin. */
  #checkPublished(published: Checkpoint, size: number): void {
    const tree = this.#tree(size);
    if (published.size > size)
      throw new LedgerRefused(
        `The ledger's database has ${told({ size, root: tree.root() })}, and ${told(published)} is published in ${this.#folder}: the database is ${size === 0 ? 'a new one' : `an older copy, or was cut after entry ${size - 1}`}. Put back the newest copy of it.`,
      );
    const path = tree.consistency(published.size);
    if (published.size === 0 || verifyConsistency(published.size, published.root, size, tree.root(), path))
      return;
    const root = tree.rootAt(published.size);
    const index = firstDifference(this, new PublishedLedger(this.#folder), published.size);
    const where = index === undefined ? '' : ` They differ from entry ${index} on.`;
    throw new LedgerRefused(
      `The ledger's database is not the one that is published in ${this.#folder}: its first ${published.size} entries have the root ${root.toString('hex')}, the published ones ${published.root.toString('hex')}.${where} Put back the database that belongs to it.`,
    );
  }

  #signedTree(): Checkpoint {
    const checkpoint = this.signed();
    if (!checkpoint) throw new Error('Nothing was signed yet.');
    return checkpoint;
  }

  #published(): Checkpoint | undefined {
    const text = new PublishedLedger(this.#folder).checkpoint();
    if (text === undefined) return undefined;
    try {
      return openCheckpoint(text, this.#keys.known);
    } catch (error) {
      throw new LedgerRefused(
        `The published checkpoint in ${this.#folder} is none of this ledger's: ${(error as Error).message}`,
      );
    }
  }
}
