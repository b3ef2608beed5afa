/** Parquet that Datanets export, read back by pyarrow and DuckDB. */

import { deepStrictEqual } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ExportRow, writeParquet } from '../../plugins/datanet/formats/write_rows.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { pythonTool, setUpPython } from './python_suites.ts';
import { type CaseOutcome, runCases } from './suite.ts';

const call = { id: 'call_1', type: 'function', function: { name: 'look_up', arguments: '{"code":"A00"}' } };

/** One row of each kind, often enough for several row groups. */
function rows(count: number): ExportRow[] {
  return Array.from({ length: count }, (_, i): ExportRow => {
    const user = { role: 'user' as const, content: `Question ${i} äöü 😀` };
    const answer = { role: 'assistant' as const, content: `Answer ${i}` };
    const contents = [
      {
        messages: [
          user,
          { role: 'assistant' as const, content: null, tool_calls: [call], weight: 0 as const },
          { role: 'tool' as const, content: 'Cholera', tool_call_id: 'call_1' },
          answer,
        ],
        tools: [{ type: 'function', function: { name: 'look_up' } }],
      },
      { prompt: `Prompt ${i}`, completion: `Completion ${i}` },
      { text: `Text ${i}\nof two lines` },
      {
        input: { messages: [user] },
        preferred_output: [answer],
        non_preferred_output: [{ ...answer, content: 'No' }],
      },
    ];
    return {
      content: contents[i % 4]!,
      source: i % 3 ? `book ${i % 5}` : null,
      metadata: { hash: `h${i}`, line: i },
    };
  });
}

const message = (given: Record<string, unknown>) => ({
  role: given.role,
  content: given.content,
  name: null,
  weight: given.weight ?? null,
  tool_calls: given.tool_calls === undefined ? null : JSON.stringify(given.tool_calls),
  tool_call_id: given.tool_call_id ?? null,
});

/** What a reader of the file has to see. */
function expected({ content, source, metadata }: ExportRow): Record<string, unknown> {
  const given = content as Record<string, unknown>;
  const { messages, tools } = (given.input ?? given) as { messages?: object[]; tools?: unknown[] };
  const list = (name: string) =>
    ((given[name] as object[] | undefined) ?? null)?.map((one) => message({ ...one })) ?? null;
  return {
    messages: messages?.map((one) => message({ ...one })) ?? null,
    tools: tools === undefined ? null : JSON.stringify(tools),
    prompt: given.prompt ?? null,
    completion: given.completion ?? null,
    text: given.text ?? null,
    preferred_output: list('preferred_output'),
    non_preferred_output: list('non_preferred_output'),
    source: source ?? null,
    group: null,
    ...metadata,
  };
}

export async function parquetReaders(folder: string): Promise<CaseOutcome[]> {
  await setUpPython();
  const written = rows(9000);
  const chunks: Uint8Array[] = [];
  const batches = (async function* () {
    yield written;
  })();
  const options = {
    kinds: ['chat', 'completion', 'text', 'preference'],
    metadata: { hash: 'text', line: 'integer' },
  } as const;
  for await (const chunk of writeParquet(batches, options)) chunks.push(chunk);
  const file = join(folder, 'export.parquet');
  writeFileSync(file, Buffer.concat(chunks));
  const script = join(root, 'bench', 'conformance', 'parquet_readers.py');
  const read = JSON.parse(await new Child(pythonTool('python'), [script, file]).output(600)) as Record<
    string,
    unknown[]
  >;
  return runCases(
    Object.entries(read).map(([reader, seen]) => ({
      name: `${reader} reads an export as it was`,
      run: async () => deepStrictEqual(seen, written.map(expected)),
    })),
  );
}
