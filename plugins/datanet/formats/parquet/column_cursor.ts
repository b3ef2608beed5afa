/** The rows of one column chunk, page by page: held are one page, the dictionary and what is left of a window of the file. */
import type { DecodedArray } from 'hyparquet';
import { assembleLists } from 'hyparquet/src/assemble.js';
import { getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import type { ByteSource } from '../format.ts';
import { uncompress } from './codecs.ts';
import { decodeDictionary, decodePage, type Leaf, mostValues } from './decode_page.ts';
import type { ColumnChunk } from './footer.ts';
import { type PageHeader, pageHeader } from './page_header.ts';
import { readThrift, ThriftEnd } from './thrift.ts';

/** Bytes of a page, uncompressed; writers aim at 1 MiB. */
const pageBytes = 64 * 2 ** 20;
/** Bytes that are fetched at once at least: a source may be a server. */
const windowBytes = 2 ** 20;
/** Bytes of a page's header, which may have the page's least and greatest text. */
const headerBytes = 2 ** 20;
/** Values that one row's lists may have, in a column. */
const rowValues = 2 ** 20;

export class ColumnCursor {
  readonly #file: ByteSource;
  readonly #chunk: ColumnChunk;
  readonly #leaf: Leaf;
  readonly #nested: boolean;
  /** Told of each page's uncompressed bytes before they are made; throws where they are too many. */
  readonly #expands: (bytes: number) => void;
  /** Of the next page, in the file. */
  #offset: number;
  #window = { offset: 0, bytes: new Uint8Array(0) };
  #dictionary: DecodedArray | undefined;
  #rows: DecodedArray = [];
  #at = 0;
  /** Values of pages since a row of lists has begun, at most. */
  #open = 0;

  constructor(file: ByteSource, chunk: ColumnChunk, leaf: Leaf, expands: (bytes: number) => void) {
    this.#file = file;
    this.#chunk = chunk;
    this.#leaf = leaf;
    this.#nested = getMaxRepetitionLevel(leaf.path) > 0;
    this.#expands = expands;
    this.#offset = chunk.offset;
  }

  /** How many rows can be taken; more than none, unless the column has ended. */
  async ready(): Promise<number> {
    // The last row of a page of lists may go on in the next page.
    const complete = () => this.#rows.length - this.#at - (this.#nested && !this.#ended ? 1 : 0);
    while (complete() <= 0 && !this.#ended) await this.#nextPage();
    return complete();
  }

  take(rows: number): unknown[] {
    const taken = Array.from(this.#rows.slice(this.#at, this.#at + rows));
    this.#at += rows;
    return taken;
  }

  get #end(): number {
    return this.#chunk.offset + this.#chunk.compressed;
  }

  get #ended(): boolean {
    return this.#offset >= this.#end;
  }

  async #nextPage(): Promise<void> {
    const { header, size } = await this.#header();
    const { kind, compressed, uncompressed, values } = header;
    if (this.#offset + size + compressed > this.#end) throw new Error('a page is longer than its column');
    if (uncompressed > pageBytes || compressed > pageBytes) {
      throw new Error(`a page has ${Math.max(uncompressed, compressed)} bytes; ${pageBytes} are the most`);
    }
    if (values > mostValues) throw new Error(`a page has ${values} values; ${mostValues} are the most`);
    const bytes = kind === 'other' ? undefined : await this.#read(this.#offset + size, compressed);
    this.#offset += size + compressed;
    if (bytes === undefined || values === 0) return;
    this.#expands(uncompressed);
    if (kind === 'dictionary')
      this.#dictionary = decodeDictionary(this.#plain(bytes, header), header, this.#leaf);
    else this.#add(this.#plain(bytes, header), header);
  }

  #plain(bytes: Uint8Array, header: PageHeader): Uint8Array<ArrayBuffer> {
    const { codec } = this.#chunk;
    // Of data v2 the levels stand before what is compressed.
    const levels = header.repetitionBytes + header.definitionBytes;
    if (levels > Math.min(bytes.length, header.uncompressed))
      throw new Error('a page is shorter than its levels');
    const packed = header.isCompressed ? codec : 'UNCOMPRESSED';
    const values = uncompress(packed, bytes.subarray(levels), header.uncompressed - levels);
    if (levels === 0) return values;
    const whole = new Uint8Array(header.uncompressed);
    whole.set(bytes.subarray(0, levels));
    whole.set(values, levels);
    return whole;
  }

  #add(bytes: Uint8Array<ArrayBuffer>, header: PageHeader): void {
    const { definitionLevels, repetitionLevels, values } = decodePage(
      bytes,
      header,
      this.#dictionary,
      this.#leaf,
    );
    const rest = this.#nested ? Array.from(this.#rows.slice(this.#at)) : [];
    this.#rows = assembleLists(rest, definitionLevels, repetitionLevels, values, this.#leaf.path);
    this.#at = 0;
    this.#open = this.#rows.length > 1 ? header.values : this.#open + header.values;
    if (this.#nested && this.#rows.length === 1 && this.#open > rowValues)
      throw new Error('a row has too many values');
  }

  async #header(): Promise<{ header: PageHeader; size: number }> {
    for (let bytes = 4096; ; bytes *= 16) {
      const available = Math.min(bytes, this.#end - this.#offset);
      try {
        const { struct, end } = readThrift(await this.#read(this.#offset, available));
        return { header: pageHeader(struct), size: end };
      } catch (error) {
        if (!(error instanceof ThriftEnd) || available < bytes || bytes >= headerBytes) throw error;
      }
    }
  }

  async #read(offset: number, bytes: number): Promise<Uint8Array> {
    const { offset: from, bytes: held } = this.#window;
    if (offset < from || offset + bytes > from + held.length) {
      const wanted = Math.min(Math.max(bytes, windowBytes), this.#end - offset);
      this.#window = { offset, bytes: new Uint8Array(await this.#file.slice(offset, wanted)) };
      if (this.#window.bytes.length < bytes) throw new Error('it ends before its columns');
    }
    return this.#window.bytes.subarray(offset - this.#window.offset, offset - this.#window.offset + bytes);
  }
}
