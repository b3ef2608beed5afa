import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { examples, refused, rowsOf } from '../testing/rows.ts';

const folder = join(import.meta.dirname, 'fixtures');
const fixture = (name: string) => readFileSync(join(folder, `${name}.parquet`));
const names = (start: string) =>
  readdirSync(folder).filter((file) => file.startsWith(start) && file.endsWith('.parquet'));

describe('Parquet of other writers', () => {
  test.each(names('flat-').filter((name) => !name.includes('lz4')))('%s', async (name) => {
    const rows = await rowsOf(readFileSync(join(folder, name)), name);
    expect(refused(rows)).toEqual([
      {
        line: 8,
        field: 'completion',
        reason: 'Completion is missing on row 8.',
        raw: '{"prompt":"Question 2","completion":null,"source":null,"group":0}',
      },
    ]);
    const expected = Array.from({ length: 300 }, (_, i) => ({
      content: { prompt: `Question ${i % 5}`, completion: `Answer ${i} äöü` },
      ...(i % 2 ? {} : { source: `book ${i % 3}` }),
      group: String(Math.floor(i / 10)),
    }));
    expect(examples(rows)).toEqual(expected.filter((_, i) => i !== 7));
  });

  test.each(names('nested-'))('%s', async (name) => {
    const rows = await rowsOf(readFileSync(join(folder, name)), name);
    expect(examples(rows)).toEqual(
      Array.from({ length: 300 }, (_, i) => ({
        content: {
          messages: [
            ...(i % 2 ? [{ role: 'system', content: 'Be brief.' }] : []),
            { role: 'user', content: `q${i}` },
            { role: 'assistant', content: `a${i}` },
          ],
        },
      })),
    );
  });

  test('may map its columns', async () => {
    const columns = { text: 'completion', source: 'prompt' };
    const [first] = examples(await rowsOf(fixture('flat-zstd'), 'a', { columns }));
    expect(first).toEqual({ content: { text: 'Answer 0 äöü' }, source: 'Question 0' });
  });
});
