/** Examples to files, in streams: JSON lines as they are read here, and Parquet as other readers expect it. */
import type { SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { Content, ExampleKind, Message } from '../model.ts';

/** An example, and what is known of it besides. */
export interface ExportRow {
  content: Content;
  source?: string | null;
  group?: string | null;
  metadata: Record<string, string | number | null>;
}

/** Of each row a line: its content, `source` and `group` as every reader of JSON takes them, and `metadata`. */
export async function* writeJsonLines(rows: AsyncIterable<ExportRow[]>): AsyncGenerator<Uint8Array> {
  for await (const batch of rows) {
    const lines = batch.map(({ content, source, group, metadata }) =>
      JSON.stringify({ ...content, ...(source ? { source } : {}), ...(group ? { group } : {}), metadata }),
    );
    if (lines.length > 0) yield Buffer.from(`${lines.join('\n')}\n`);
  }
}

export interface ParquetOptions {
  /** Which contents there are: they have their columns, and no others. */
  kinds: readonly ExampleKind[];
  /** Columns of the metadata. */
  metadata: Readonly<Record<string, 'text' | 'integer'>>;
}

/** Rows of a row group, and the characters with which it ends earlier. */
const groupRows = 2_000;
const groupCharacters = 16 * 2 ** 20;

/** Columns as they are read here without a mapping: see tableReader. */
export async function* writeParquet(
  rows: AsyncIterable<ExportRow[]>,
  { kinds, metadata }: ParquetOptions,
): AsyncGenerator<Uint8Array> {
  const columns: Array<{ name: string; elements: SchemaElement[]; value(row: ExportRow): unknown }> = [
    ...contentColumns(kinds),
    { name: 'source', elements: [textElement('source')], value: ({ source }) => source },
    { name: 'group', elements: [textElement('group')], value: ({ group }) => group },
    ...Object.entries(metadata).map(([name, type]) => ({
      name,
      elements: [type === 'text' ? textElement(name) : integerElement(name)],
      value: (row: ExportRow) => integerValue(row.metadata[name], type),
    })),
  ];
  const schema = [
    { name: 'root', num_children: columns.length },
    ...columns.flatMap(({ elements }) => elements),
  ];
  const writer = new ByteWriter();
  const parquet = new ParquetWriter({ writer, schema, createdBy: 'colophon' });
  let group: ExportRow[] = [];
  let characters = 0;
  const taken = () => {
    const bytes = writer.getBytes().slice();
    (writer as { index: number }).index = 0;
    return bytes;
  };
  const endGroup = () => {
    const columnData = columns.map(({ name, value }) => ({
      name,
      data: group.map((row) => value(row) ?? null),
      offsetIndex: false,
    }));
    parquet.write({ columnData, rowGroupSize: group.length });
    group = [];
    characters = 0;
    return taken();
  };
  for await (const batch of rows) {
    for (const row of batch) {
      group.push(row);
      characters += JSON.stringify(row.content).length;
      if (group.length >= groupRows || characters >= groupCharacters) yield endGroup();
    }
  }
  if (group.length > 0) yield endGroup();
  parquet.finish();
  yield taken();
}

const integerValue = (value: string | number | null | undefined, type: 'text' | 'integer') =>
  type === 'integer' && typeof value === 'number' ? BigInt(value) : value;

const textElement = (name: string): SchemaElement => ({
  name,
  type: 'BYTE_ARRAY',
  converted_type: 'UTF8',
  logical_type: { type: 'STRING' },
  repetition_type: 'OPTIONAL',
});

const integerElement = (name: string): SchemaElement => ({
  name,
  type: 'INT64',
  repetition_type: 'OPTIONAL',
});

const messageFields = ['role', 'content', 'name', 'weight', 'tool_calls', 'tool_call_id'] as const;

/** A list of messages; calls of tools are JSON, since each has arguments of its own. */
function messagesElements(name: string): SchemaElement[] {
  return [
    {
      name,
      converted_type: 'LIST',
      logical_type: { type: 'LIST' },
      repetition_type: 'OPTIONAL',
      num_children: 1,
    },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', repetition_type: 'OPTIONAL', num_children: messageFields.length },
    ...messageFields.map((field) => (field === 'weight' ? integerElement(field) : textElement(field))),
  ];
}

function messagesValue(messages: Message[] | undefined) {
  return messages?.map((message) => ({
    role: message.role,
    content: message.content,
    name: message.name ?? null,
    weight: message.weight === undefined ? null : BigInt(message.weight),
    tool_calls: message.tool_calls === undefined ? null : JSON.stringify(message.tool_calls),
    tool_call_id: message.tool_call_id ?? null,
  }));
}

function contentColumns(kinds: readonly ExampleKind[]) {
  const has = (...some: ExampleKind[]) => some.some((kind) => kinds.includes(kind));
  const conversation = ({ content }: ExportRow) => ('input' in content ? content.input : content);
  const messages = (name: string, of: (row: ExportRow) => unknown) => ({
    name,
    elements: messagesElements(name),
    value: (row: ExportRow) => messagesValue(of(row) as Message[] | undefined),
  });
  const text = (name: string, of: (row: ExportRow) => unknown) => ({
    name,
    elements: [textElement(name)],
    value: of,
  });
  const part = (name: string) => (row: ExportRow) => (row.content as Record<string, unknown>)[name];
  return [
    ...(has('chat', 'preference')
      ? [
          messages('messages', (row) => (conversation(row) as { messages?: unknown }).messages),
          text('tools', (row) => {
            const { tools } = conversation(row) as { tools?: unknown[] };
            return tools === undefined ? null : JSON.stringify(tools);
          }),
        ]
      : []),
    ...(has('completion') ? [text('prompt', part('prompt')), text('completion', part('completion'))] : []),
    ...(has('text') ? [text('text', part('text'))] : []),
    ...(has('preference')
      ? ['preferred_output', 'non_preferred_output'].map((name) => messages(name, part(name)))
      : []),
  ];
}
