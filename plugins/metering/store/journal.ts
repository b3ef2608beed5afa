/**
 * Where records are durable first: one synchronous write each, over bytes that the files have already, which a disk takes at less cost than
 * bytes that are new to it, or a transaction. The database is told of them later, many together. Of two files one is written until it is
 * long and the other one's records are all applied, then that one is overwritten: a record's number says whether it is of this round.
 *
 * A record: a CRC-32 of all that follows, the length of what it says (32 bits), its number (64 bits), all little-endian, and what it
 * says. A write that was torn is none, and nothing follows it.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  write,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { syncFolder } from '../durable_files.ts';

/** Of a record, before what it says. */
export const headBytes = 16;
/** A file grows by so many bytes at once, zeros at first. */
const growBytes = 2 ** 18;

const pathsIn = (folder: string) => ['journal-0', 'journal-1'].map((name) => join(folder, name));

/** What the database is told: the last records that it does not know, in their order. */
export interface Pending {
  records: Uint8Array[];
  /** The number of the last. */
  last: number;
}

interface JournalFile {
  descriptor: number;
  /** Bytes that it has. */
  size: number;
  /** The number of the last record in it; 0: none of this process. */
  last: number;
  /** What is in it goes once it is applied. */
  forget: boolean;
}

export class Journal {
  readonly #files: JournalFile[];
  readonly #longest: number;
  #current: JournalFile;
  /** Where the next record begins in the current file. */
  #at = 0;
  #writing = false;
  #last: number;
  /** Those that are durable and not applied. */
  #records: Uint8Array[] = [];

  /** `last`: of the records that are applied; what the files say is over. `longest`: bytes of a file, about. */
  constructor(folder: string, last: number, longest = 2 ** 20) {
    this.#last = last;
    this.#longest = longest;
    // Without O_APPEND: it writes where it says.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC;
    this.#files = pathsIn(folder).map((path) => {
      const descriptor = openSync(path, flags, 0o644);
      return { descriptor, size: fstatSync(descriptor).size, last: 0, forget: false };
    });
    this.#current = this.#files[0]!;
    syncFolder(folder);
  }

  get pending(): Pending {
    return { records: [...this.#records], last: this.#last };
  }

  /**
   * Resolves when the disk has it; one at a time. `record`: `headBytes` that are set here, then what it says. Where it rejects with
   * ENOSPC there is no record, and the next may be tried; after any other error it is unknown what the disk has.
   */
  async append(record: Buffer): Promise<void> {
    if (this.#at >= this.#longest || this.#current.forget) this.#turn();
    const file = this.#current;
    setHead(record, this.#last + 1);
    const end = this.#at + record.length;
    const bytes = end <= file.size ? record : withZeros(record, Math.min(growBytes, this.#longest - end));
    this.#writing = true;
    try {
      for (let at = 0; at < bytes.length; )
        at += await writeAt(file.descriptor, at === 0 ? bytes : bytes.subarray(at), this.#at + at);
    } finally {
      this.#writing = false;
    }
    file.size = Math.max(file.size, this.#at + bytes.length);
    this.#at = end;
    file.last = ++this.#last;
    this.#records.push(record.subarray(headBytes));
  }

  /** The database has all to this number, durably. */
  applied(last: number): void {
    this.#records = this.#records.slice(this.#records.length - (this.#last - last));
    this.#sweep();
  }

  /** What applied records said is not left in the files: from now on, or once the database has what follows it. */
  forget(): void {
    for (const file of this.#files) file.forget = true;
    this.#sweep();
  }

  close(): void {
    for (const { descriptor } of this.#files) closeSync(descriptor);
  }

  #isApplied({ last }: JournalFile): boolean {
    return last <= this.#last - this.#records.length;
  }

  #turn(): void {
    const other = this.#files.find((file) => file !== this.#current)!;
    if (!this.#isApplied(other)) return;
    this.#current = other;
    this.#at = 0;
  }

  #sweep(): void {
    for (const file of this.#files) {
      const current = file === this.#current;
      if (!file.forget || !this.#isApplied(file) || (current && this.#writing)) continue;
      ftruncateSync(file.descriptor, 0);
      fsyncSync(file.descriptor);
      file.forget = false;
      file.size = 0;
      if (current) this.#at = 0;
    }
  }
}

/**
 * What a process that died recorded and did not apply, after number `applied`. Throws an Error with a sentence where a record is missing
 * between others.
 */
export function recordsAfter(folder: string, applied: number): Uint8Array[] {
  const found = pathsIn(folder)
    .filter(existsSync)
    .flatMap((path) => [...recordsIn(path)])
    .filter(({ number }) => number > applied)
    .sort((a, b) => a.number - b.number);
  for (const [at, { number, path }] of found.entries())
    if (number !== applied + 1 + at)
      throw new Error(
        `${path} has record ${number}, and record ${applied + 1 + at} is missing: the database ends at ${applied}. Either is of another time, or damaged. Put back both of one backup.`,
      );
  return found.map(({ said }) => said);
}

function* recordsIn(path: string): Generator<{ number: number; said: Uint8Array; path: string }> {
  const bytes = readFileSync(path);
  let before: number | undefined;
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const number = Number(bytes.readBigUInt64LE(at + 8));
    // Nothing was written from here on.
    if (number === 0 && bytes.subarray(at, at + headBytes).every((byte) => byte === 0)) return;
    const length = bytes.readUInt32LE(at + 4);
    const record = bytes.subarray(at, at + headBytes + length);
    const whole =
      record.length === headBytes + length && crc32(record.subarray(4)) === record.readUInt32LE(0);
    // What was left of an earlier round.
    if (whole && before !== undefined && number <= before) return;
    if (whole) {
      yield { number, said: record.subarray(headBytes), path };
      before = number;
    }
    // After one that was torn there is none: one that follows shows, by its number, that there was damage.
    at += headBytes + length;
  }
}

function setHead(record: Buffer, number: number): void {
  record.writeUInt32LE(record.length - headBytes, 4);
  record.writeUInt32LE(number % 2 ** 32, 8);
  record.writeUInt32LE(Math.floor(number / 2 ** 32), 12);
  record.writeUInt32LE(crc32(record.subarray(4)), 0);
}

const withZeros = (record: Buffer, zeros: number): Buffer =>
  zeros > 0 ? Buffer.concat([record], record.length + zeros) : record;

const writeAt = (file: number, bytes: Uint8Array, at: number) =>
  new Promise<number>((resolve, reject) =>
    write(file, bytes, 0, bytes.length, at, (error, written) => (error ? reject(error) : resolve(written))),
  );
