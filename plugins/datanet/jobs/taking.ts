/** Which rows of a file a Datanet takes: by their kind and by its schema. */
import type { Row } from '../formats/format.ts';
import type { Content, Datanet, ExampleKind } from '../model.ts';
import { SchemaChecker } from '../schemas/schema_checker.ts';

export type TakenBy = Pick<Datanet, 'kinds' | 'schema'>;

type ExampleRow = Extract<Row, { example: unknown }>;

/** Longest begin of a row that is kept as it came, as RefusedRow.raw. */
const rawBytes = 64 * 1024;

export class Taking {
  readonly #kinds: ExampleKind[];
  readonly #schema: SchemaChecker | null;

  /** Throws ColophonError where the schema is none. */
  constructor({ kinds, schema }: TakenBy) {
    this.#kinds = kinds;
    this.#schema = schema && new SchemaChecker(schema);
  }

  /** The rows; instead of those that are not taken their refusals. Rejects as SchemaChecker.check does. */
  async rows(read: Row[], signal: AbortSignal): Promise<Row[]> {
    const rows = read.map((row) => this.#ofKind(row));
    if (!this.#schema) return rows;
    const examples = rows.filter((row) => 'example' in row);
    const faults = await this.#schema.check(
      examples.map(({ example }) => example.content),
      signal,
    );
    const faultOf = new Map<Row, (typeof faults)[number]>(examples.map((row, at) => [row, faults[at]!]));
    return rows.map((row) => {
      const fault = faultOf.get(row);
      return fault ? refused(row as ExampleRow, fault.field, `On line ${row.line}: ${fault.reason}`) : row;
    });
  }

  async end(): Promise<void> {
    await this.#schema?.end();
  }

  #ofKind(row: Row): Row {
    if ('refused' in row) return row;
    const kind = kindOf(row.example.content);
    if (this.#kinds.includes(kind)) return row;
    const takes = this.#kinds.join(', ');
    return refused(
      row,
      null,
      `An example of kind '${kind}' on line ${row.line}; the Datanet takes ${takes}.`,
    );
  }
}

function refused({ line, example }: ExampleRow, field: string | null, reason: string): Row {
  const raw = Buffer.from(JSON.stringify(example.content)).subarray(0, rawBytes).toString();
  return { line, refused: { line, field, reason, raw } };
}

function kindOf(content: Content): ExampleKind {
  if ('messages' in content) return 'chat';
  if ('completion' in content) return 'completion';
  return 'text' in content ? 'text' : 'preference';
}
