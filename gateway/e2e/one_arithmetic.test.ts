/** Promise 1: whole generations have the same bits under every instruction set, in both precisions. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fingerprint, fixtures, full, instructionSets, TestEngine } from './engine.ts';
import { goldenModels, textIds } from './golden.ts';

const specialist = join(fixtures, 'medical-coding', 'adapter');
/** The scalar reference takes about a second a token: the short form looks at few, and at adapters of different kinds. */
const promptTokens = full ? 120 : 10;
const maxTokens = full ? 24 : 3;
const folders = full
  ? [
      undefined,
      specialist,
      ...goldenModels.map(({ folder }) => folder).filter((folder) => folder !== undefined),
    ]
  : [
      undefined,
      specialist,
      ...goldenModels.filter(({ name }) => name === 'qv_r4_dora').map(({ folder }) => folder),
    ];

async function generate(
  isa: (typeof instructionSets)[number],
  precision: 'int8' | 'float32',
): Promise<string[]> {
  const engine = await TestEngine.create({ isa, precision });
  try {
    expect(engine.engine.info()).toMatchObject({ isa, precision });
    const handles = [];
    for (const folder of folders)
      handles.push(folder === undefined ? undefined : await engine.adapter(folder));
    const runs = handles.map((adapter, i) =>
      engine.run({
        prompt: textIds.slice(i, i + promptTokens),
        adapter,
        maxTokens,
        logprobs: 20,
        promptLogprobs: 5,
      }),
    );
    return (await Promise.all(runs)).map(fingerprint);
  } finally {
    await engine.close();
  }
}

test('this machine has more than the plain reference', () => {
  expect(instructionSets).toContain('reference');
  expect(instructionSets.length).toBeGreaterThan(1);
});

test.each(['int8', 'float32'] as const)('%s: base and adapters', async (precision) => {
  const results: string[][] = [];
  for (const isa of instructionSets) results.push(await generate(isa, precision));
  expect(new Set(results[0]).size).toBe(folders.length);
  for (const result of results) expect(result).toEqual(results[0]);
}, 1_800_000);
