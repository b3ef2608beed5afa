/** The values of a page and how they nest: checked by page_checks.ts, decoded by hyparquet. */
import type { DecodedArray, SchemaTree } from 'hyparquet';
import { convert, convertWithDictionary, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import type { readDataPage } from 'hyparquet/src/datapage.js';
import { deltaBinaryUnpack, deltaByteArray, deltaLengthByteArray } from 'hyparquet/src/delta.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { readPlain } from 'hyparquet/src/plain.js';
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import { bitWidth, checkDeltas, checkPrefixes, checkRuns } from './page_checks.ts';
import type { PageHeader } from './page_header.ts';
import { textOf } from './text.ts';

type Decoder = Parameters<typeof readDataPage>[2];

/** Values of a page, nulls among them: what RLE says in ten bytes has a value each in memory. */
export const mostValues = 4 * 2 ** 20;

/** Bytes that the repeated beginnings of a page's texts (DELTA_BYTE_ARRAY) may have together. */
const mostPrefixBytes = 64 * 2 ** 20;

export interface Page {
  definitionLevels: number[] | undefined;
  repetitionLevels: number[];
  values: DecodedArray;
}

export interface Leaf {
  path: SchemaTree[];
  decoder: Decoder;
}

/** How the values of a column are read: texts as strings or, where they are no UTF-8, as NotText. */
export function leafOf(path: SchemaTree[]): Leaf {
  const { element } = path.at(-1)!;
  const parsers = { ...DEFAULT_PARSERS, stringFromBytes: textOf, jsonFromBytes: textOf };
  const decoder = {
    pathInSchema: path.slice(1).map((node) => node.element.name),
    type: element.type!,
    element,
    schemaPath: path,
  };
  return { path, decoder: { ...decoder, codec: 'UNCOMPRESSED', parsers } };
}

export function decodeDictionary(
  bytes: Uint8Array<ArrayBuffer>,
  header: PageHeader,
  { decoder }: Leaf,
): DecodedArray {
  const reader = { view: new DataView(bytes.buffer), offset: 0 };
  return convert(readPlain(reader, decoder.type, header.values, undefined), decoder);
}

/** Of a data page whose bytes are uncompressed. */
export function decodePage(
  bytes: Uint8Array<ArrayBuffer>,
  header: PageHeader,
  dictionary: DecodedArray | undefined,
  { path, decoder }: Leaf,
): Page {
  const { values, encoding } = header;
  const repetition = readLevels(
    bytes,
    0,
    getMaxRepetitionLevel(path),
    values,
    header.kind === 'data' ? undefined : header.repetitionBytes,
  );
  const deepest = getMaxDefinitionLevel(path);
  const definition = readLevels(
    bytes,
    repetition.end,
    deepest,
    values,
    header.kind === 'data' ? undefined : header.definitionBytes,
  );
  const present =
    deepest === 0 ? values : definition.levels.reduce((sum, level) => (level === deepest ? sum + 1 : sum), 0);
  const decoded = decodeValues(bytes, definition.end, present, header, decoder);
  const converted = convertWithDictionary(decoded, dictionary, encoding as 'PLAIN', decoder);
  if (encoding.endsWith('_DICTIONARY') && Array.prototype.includes.call(converted, undefined)) {
    throw new Error('a page has values that are not in its dictionary');
  }
  return {
    // hyparquet takes them only where something is null.
    definitionLevels: present === values ? [] : definition.levels,
    repetitionLevels: repetition.levels,
    values: converted,
  };
}

/** Levels of all values of a page; `size` is their length where the header says it, else it stands before them. */
function readLevels(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  largest: number,
  count: number,
  size: number | undefined,
) {
  if (largest === 0) return { levels: [], end: start + (size ?? 0) };
  const view = new DataView(bytes.buffer);
  const at = size === undefined ? start + 4 : start;
  const end = at + (size ?? view.getUint32(start, true));
  checkRuns(bytes, at, end, bitWidth(largest), count);
  const levels = new Array<number>(count);
  readRleBitPackedHybrid({ view, offset: at }, bitWidth(largest), levels, end - at);
  return { levels, end };
}

function decodeValues(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  count: number,
  { encoding }: PageHeader,
  { type }: Decoder,
): DecodedArray {
  const reader = { view: new DataView(bytes.buffer), offset: start };
  if (count === 0) return [];
  if (encoding === 'PLAIN') return readPlain(reader, type, count, undefined);
  const values =
    type === 'INT32' ? new Int32Array(count) : type === 'INT64' ? new BigInt64Array(count) : new Array(count);
  switch (encoding) {
    case 'PLAIN_DICTIONARY':
    case 'RLE_DICTIONARY': {
      const width = reader.view.getUint8(reader.offset++);
      // A dictionary of one value.
      if (width === 0) return new Array<number>(count).fill(0);
      checkRuns(bytes, reader.offset, bytes.length, width, count);
      const indices = new Array<number>(count);
      readRleBitPackedHybrid(reader, width, indices, bytes.length - reader.offset);
      return indices;
    }
    case 'RLE': {
      const { levels } = readLevels(bytes, start, 1, count, undefined);
      return levels.map((level) => level === 1);
    }
    case 'DELTA_BINARY_PACKED':
      checkDeltas(bytes, start, count);
      deltaBinaryUnpack(reader, count, values as Int32Array);
      return values;
    case 'DELTA_LENGTH_BYTE_ARRAY':
      checkDeltas(bytes, start, count);
      deltaLengthByteArray(reader, count, values as Uint8Array[]);
      return values;
    case 'DELTA_BYTE_ARRAY':
      checkPrefixes(bytes, start, count, mostPrefixBytes);
      deltaByteArray(reader, count, values as Uint8Array[]);
      return values;
    default:
      throw new Error(`a page has the encoding ${encoding}, which is not read`);
  }
}
