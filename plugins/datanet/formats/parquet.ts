import type { ColumnMapping } from '../model.ts';
import type { ByteSource, ReadLimits, Row } from './format.ts';
import { unknownFormat } from './refusal.ts';

export async function* readParquet(
  _bytes: ByteSource,
  filename: string,
  _columns: ColumnMapping | undefined,
  _limits: ReadLimits,
): AsyncGenerator<Row[]> {
  yield* [];
  throw unknownFormat(filename, 'Parquet');
}
