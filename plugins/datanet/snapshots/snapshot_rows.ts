/** What a snapshot has to know of a million examples, in typed arrays: about 60 bytes an example. */
import type { StoredExample } from '../model.ts';
import { hashBytes } from './merkle.ts';
import type { Tie } from './split.ts';

/** Texts to numbers, from 0 in the order in which they come. */
class Numbering {
  readonly #numbers = new Map<string, number>();
  readonly texts: string[] = [];

  of(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }
}

type Column = 'contribution' | 'contributor' | 'line' | 'cluster' | 'source' | 'group';
const columns: Column[] = ['contribution', 'contributor', 'line', 'cluster', 'source', 'group'];

/** Rows as they come; -1 is null. */
export class SnapshotRows {
  #hashes = Buffer.alloc(1024 * hashBytes);
  readonly #columns = Object.fromEntries(columns.map((name) => [name, new Float64Array(1024)])) as Record<
    Column,
    Float64Array
  >;
  readonly contributions = new Numbering();
  readonly contributors = new Numbering();
  readonly #sources = new Numbering();
  readonly #groups = new Numbering();
  size = 0;

  add(example: StoredExample & { cluster: number | null }): void {
    if (this.size * hashBytes === this.#hashes.length) this.#grow();
    const row = this.size++;
    this.#hashes.write(example.hash, row * hashBytes, 'hex');
    const values: Record<Column, number> = {
      contribution: this.contributions.of(example.contribution),
      contributor: this.contributors.of(example.contributor),
      line: example.line,
      cluster: example.cluster ?? -1,
      source: example.source === null ? -1 : this.#sources.of(example.source),
      group: example.group === null ? -1 : this.#groups.of(example.group),
    };
    for (const name of columns) this.#columns[name][row] = values[name];
  }

  #grow(): void {
    this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(this.#hashes.length)]);
    for (const name of columns) {
      const larger = new Float64Array(this.#columns[name].length * 2);
      larger.set(this.#columns[name]);
      this.#columns[name] = larger;
    }
  }

  hash(row: number): Buffer {
    return this.#hashes.subarray(row * hashBytes, (row + 1) * hashBytes);
  }

  get(row: number, column: Column): number {
    return this.#columns[column][row]!;
  }

  /** Rows by ascending hash; of equal ones, those that came first. */
  sorted(): Uint32Array {
    const begins = new Float64Array(this.size);
    for (let row = 0; row < this.size; row++) begins[row] = this.#hashes.readUIntBE(row * hashBytes, 6);
    return new Uint32Array(this.size)
      .map((_, row) => row)
      .sort((a, b) => begins[a]! - begins[b]! || Buffer.compare(this.hash(a), this.hash(b)) || a - b);
  }

  /** Rows that have the same value there belong together; `leaf`: which leaf each row is. */
  tie(leaf: Uint32Array, column: 'cluster' | 'source' | 'group' | 'contributor'): Tie {
    return { leaf, key: Int32Array.from({ length: this.size }, (_, row) => this.get(row, column)) };
  }
}
