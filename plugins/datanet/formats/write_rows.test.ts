import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Content, ExampleKind, Message } from '../model.ts';
import { contents, examples, rowsOf } from './testing/rows.ts';
import { type ExportRow, writeJsonLines, writeParquet } from './write_rows.ts';

const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
  .filter((one) => one.trim() !== '' && !one.includes('\0'));
const said = (role: Message['role']) => text.map((content): Message => ({ role, content }));
const tool = text.map((description) => ({ type: 'function', function: { name: 'f', description } }));
const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":[1]}' } };
const calls: Message[] = [
  { role: 'assistant', content: null, tool_calls: [call], weight: 0 },
  { role: 'tool', content: 'r', tool_call_id: 'a' },
];
const conversation = fc.record(
  {
    messages: fc.tuple(fc.array(said('user')), fc.constantFrom([], calls)).map((parts) => parts.flat()),
    tools: fc.array(tool, { minLength: 1, maxLength: 1 }),
  },
  { requiredKeys: ['messages'] },
);
const chat = fc
  .tuple(conversation, said('assistant'))
  .map(([input, last]) => ({ ...input, messages: [...input.messages, last] }));
const preference = fc
  .record({
    input: fc
      .tuple(conversation, said('user'))
      .map(([input, last]) => ({ ...input, messages: [...input.messages, last] })),
    yes: said('assistant'),
    no: said('assistant'),
  })
  .filter(({ yes, no }) => yes.content !== no.content)
  .map(({ input, yes, no }) => ({ input, preferred_output: [yes], non_preferred_output: [no] }));
const kinds: Record<ExampleKind, fc.Arbitrary<Content>> = {
  chat,
  completion: fc.record({ prompt: text, completion: text }),
  text: fc.record({ text }),
  preference,
};
const some = (names: ExampleKind[]) =>
  fc.array(
    fc.record(
      { content: fc.oneof(...names.map((name) => kinds[name])), source: text, group: text },
      { requiredKeys: ['content'] },
    ),
    { minLength: 1, maxLength: 20 },
  );
const all = Object.keys(kinds) as ExampleKind[];

async function* batches(rows: Array<Omit<ExportRow, 'metadata'>>, size = 3): AsyncGenerator<ExportRow[]> {
  for (let at = 0; at < rows.length; at += size) {
    yield rows
      .slice(at, at + size)
      .map((row, i) => ({ ...row, metadata: { hash: `h${at + i}`, line: at + i } }));
  }
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

const metadata = { hash: 'text', line: 'integer' } as const;

describe('what is written is read back as it was', () => {
  test('from JSON lines', async () => {
    await fc.assert(
      fc.asyncProperty(some(all), async (rows) => {
        const file = await bytesOf(writeJsonLines(batches(rows)));
        expect(examples(await rowsOf(file, 'a.jsonl'))).toEqual(rows);
      }),
    );
  });

  test.each([...all.map((kind) => [kind]), all])('from Parquet: %s', async (...names) => {
    const these = names as ExampleKind[];
    await fc.assert(
      fc.asyncProperty(some(these), async (rows) => {
        const file = await bytesOf(writeParquet(batches(rows), { kinds: these, metadata }));
        const read = await rowsOf(file, 'a.parquet');
        expect(examples(read)).toEqual(rows);
        expect(read.map(({ line }) => line)).toEqual(rows.map((_, i) => i + 1));
      }),
      { numRuns: 50 },
    );
  });

  test('from several row groups', async () => {
    const rows = Array.from({ length: 25_000 }, (_, i) => ({
      content: { prompt: `p${i % 7}`, completion: `c${i}` },
    }));
    const chunks: Uint8Array[] = [];
    for await (const chunk of writeParquet(batches(rows, 1000), { kinds: ['completion'], metadata }))
      chunks.push(chunk);
    expect(chunks.length).toBeGreaterThan(3);
    expect(contents(await rowsOf(Buffer.concat(chunks), 'a.parquet'))).toEqual(
      rows.map(({ content }) => content),
    );
  });

  test('also where there is nothing but columns', async () => {
    const file = await bytesOf(writeParquet(batches([]), { kinds: ['text'], metadata }));
    await expect(rowsOf(file, 'a.parquet')).rejects.toMatchObject({ code: 'empty_file' });
  });
});
