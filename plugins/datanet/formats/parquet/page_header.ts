/** What a page says of itself before its bytes. */
import { Encodings, PageTypes } from 'hyparquet/src/constants.js';
import { count } from './footer.ts';
import type { ThriftStruct } from './thrift.ts';

export interface PageHeader {
  kind: 'data' | 'data v2' | 'dictionary' | 'other';
  compressed: number;
  uncompressed: number;
  values: number;
  encoding: string;
  /** Of data v2, whose levels are not compressed. */
  nulls: number;
  definitionBytes: number;
  repetitionBytes: number;
  isCompressed: boolean;
}

export function pageHeader(struct: ThriftStruct): PageHeader {
  const type = PageTypes[count(struct, 1)];
  const [kind, field] =
    type === 'DATA_PAGE'
      ? (['data', 5] as const)
      : type === 'DICTIONARY_PAGE'
        ? (['dictionary', 7] as const)
        : type === 'DATA_PAGE_V2'
          ? (['data v2', 8] as const)
          : (['other', 0] as const);
  const inner = struct.get(field);
  if (kind !== 'other' && !(inner instanceof Map)) throw new Error('a page has no header');
  const number = (at: number) => (inner instanceof Map ? count(inner, at) : 0);
  const v2 = kind === 'data v2';
  return {
    kind,
    uncompressed: count(struct, 2),
    compressed: count(struct, 3),
    values: number(1),
    encoding: Encodings[number(v2 ? 4 : 2)] ?? 'unknown',
    nulls: v2 ? number(2) : 0,
    definitionBytes: v2 ? number(5) : 0,
    repetitionBytes: v2 ? number(6) : 0,
    isCompressed: v2 ? (inner as ThriftStruct).get(7) !== false : true,
  };
}
