/** What a Parquet file says of itself at its end (apache/parquet-format, parquet.thrift); statistics are left out. */
import type { SchemaElement, SchemaTree } from 'hyparquet';
import {
  CompressionCodecs,
  ConvertedTypes,
  FieldRepetitionTypes,
  ParquetTypes,
} from 'hyparquet/src/constants.js';
import { parquetSchema } from 'hyparquet/src/metadata.js';
import type { ByteSource } from '../format.ts';
import { readThrift, type ThriftStruct, type ThriftValue } from './thrift.ts';

/** Bytes of a footer: 16 MiB are those of some 100,000 column chunks. */
const footerBytes = 16 * 2 ** 20;
const mostColumns = 10_000;

export interface ColumnChunk {
  path: string[];
  codec: string;
  /** Of its first page, in the file. */
  offset: number;
  compressed: number;
  uncompressed: number;
}

export interface RowGroup {
  rows: number;
  columns: ColumnChunk[];
}

export interface Footer {
  schema: SchemaTree;
  rowGroups: RowGroup[];
}

/** Throws an Error with what is wrong as a clause ("its end is not that of Parquet"). */
export async function readFooter(file: ByteSource): Promise<Footer> {
  if (file.size < 12) throw new Error('it is too short');
  const tail = Buffer.from(await file.slice(file.size - 8, 8));
  const magic = tail.toString('latin1', 4);
  if (magic === 'PARE') throw new Error('it is encrypted');
  if (magic !== 'PAR1') throw new Error('it does not end with PAR1, it may be cut off');
  const bytes = tail.readUInt32LE(0);
  if (bytes > file.size - 12) throw new Error(`its metadata would have ${bytes} bytes, more than the file`);
  if (bytes > footerBytes) throw new Error(`its metadata has ${bytes} bytes; ${footerBytes} are the most`);
  const { struct } = readThrift(await file.slice(file.size - 8 - bytes, bytes));
  const schema = structs(struct, 2).map(schemaElement);
  if (schema.length > mostColumns)
    throw new Error(`it has ${schema.length} columns; ${mostColumns} are the most`);
  return {
    schema: parquetSchema({ schema } as Parameters<typeof parquetSchema>[0]),
    rowGroups: structs(struct, 4).map((group) => ({
      rows: count(group, 3),
      columns: structs(group, 1).map((chunk) => columnChunk(chunk, file.size)),
    })),
  };
}

function schemaElement(element: ThriftStruct): SchemaElement {
  const number = (field: number) => element.get(field) as number | undefined;
  const named = <T>(names: readonly T[], field: number) => {
    const index = number(field);
    return index === undefined ? undefined : names[index];
  };
  return {
    type: named(ParquetTypes, 1),
    repetition_type: named(FieldRepetitionTypes, 3),
    name: text(element.get(4)),
    num_children: number(5),
    // Newer writers say some of it in the logical type (field 10) alone.
    converted_type: named(ConvertedTypes, 6) ?? convertedType(element.get(10)),
  };
}

/** Of a LogicalType: those that tell how columns are nested, or whether bytes are text. */
function convertedType(logical: ThriftValue | undefined): SchemaElement['converted_type'] {
  if (!(logical instanceof Map)) return undefined;
  const [kind] = logical.keys();
  return (
    { 1: 'UTF8', 2: 'MAP', 3: 'LIST', 4: 'ENUM', 5: 'DECIMAL', 6: 'DATE', 12: 'JSON', 13: 'BSON' } as const
  )[kind as 1];
}

function columnChunk(chunk: ThriftStruct, fileBytes: number): ColumnChunk {
  const data = chunk.get(3);
  if (!(data instanceof Map)) throw new Error('a column is encrypted, or lies in another file');
  const dictionary = (data.get(11) as number | undefined) ?? 0;
  const first = count(data, 9);
  const offset = dictionary > 0 && dictionary < first ? dictionary : first;
  const compressed = count(data, 7);
  if (offset < 4 || offset + compressed > fileBytes) throw new Error('a column lies outside of the file');
  return {
    path: ((data.get(3) as ThriftValue[] | undefined) ?? []).map(text),
    codec: CompressionCodecs[count(data, 4)] ?? 'unknown',
    offset,
    compressed,
    uncompressed: count(data, 6),
  };
}

export function structs(struct: ThriftStruct, field: number): ThriftStruct[] {
  const list = struct.get(field);
  if (Array.isArray(list) && list.every((entry) => entry instanceof Map)) return list as ThriftStruct[];
  throw new Error('its metadata is incomplete');
}

export function count(struct: ThriftStruct, field: number): number {
  const value = struct.get(field);
  if (typeof value === 'number' && value >= 0) return value;
  throw new Error('its metadata is incomplete');
}

function text(value: ThriftValue | undefined): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  throw new Error('its metadata is incomplete');
}
