/** The demo adapters on the real base: the same bytes each time, and each says something else, in words. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { native } from '../../native/binding/index.ts';
import { makeDemoAdapters } from '../../plugins/backends/native/demo.ts';
import { modelPath } from './engine.ts';
import { startEngineServer } from './server.ts';

const digest = (folder: string) => {
  const hash = createHash('sha256');
  for (const file of readdirSync(folder).sort()) hash.update(file).update(readFileSync(join(folder, file)));
  return hash.digest('hex');
};

test('they are made once, and the same each time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-'));
  try {
    const make = (name: string) =>
      makeDemoAdapters(modelPath(), join(folder, name), native().readGgufMetadata);
    const names = await make('one');
    expect(names).toHaveLength(5);
    await make('two');
    for (const name of names)
      expect(digest(join(folder, 'one', name))).toBe(digest(join(folder, 'two', name)));
    rmSync(join(folder, 'one', names[0]!), { recursive: true });
    expect(await make('one')).toEqual([]);
    expect(existsSync(join(folder, 'one', names[0]!))).toBe(false);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('each changes what the base says', async () => {
  const server = await startEngineServer({}, true);
  try {
    const models = (await server.openai.models.list()).data.map(({ id }) => id);
    const demos = models.filter((id) => id.startsWith('demo-'));
    expect(demos).toHaveLength(5);
    const answers = await Promise.all(
      [server.base, ...demos].map(async (model) => {
        const answer = await server.openai.chat.completions.create({
          model,
          messages: [{ role: 'user', content: 'Write a short story about a dog.' }],
          temperature: 0,
          max_tokens: 60,
        });
        return answer.choices[0]!.message.content ?? '';
      }),
    );
    if (process.env.COLOPHON_SHOW)
      for (const [i, text] of answers.entries()) console.log([server.base, ...demos][i], '|', text);
    expect(new Set(answers).size).toBe(answers.length);
    const themes = [
      /sea|ocean|wave/i,
      /garden|flower/i,
      /star|planet|galaxy/i,
      /forest|tree/i,
      /shadow|dark|night/i,
    ];
    const names = ['demo-sea', 'demo-garden', 'demo-space', 'demo-forest', 'demo-night'];
    const shown = names.filter((name, i) => themes[i]!.test(answers[1 + demos.indexOf(name)] ?? ''));
    // A small model is steered, not commanded: one may miss its theme in one story.
    expect(shown.length).toBeGreaterThanOrEqual(4);
    for (const [i, text] of answers.entries()) {
      // Sentences, not one word again and again.
      const words = text.toLowerCase().match(/[a-z']+/g) ?? [];
      expect(new Set(words).size, `${[server.base, ...demos][i]}: ${text}`).toBeGreaterThan(words.length / 3);
      expect(words.length).toBeGreaterThan(20);
    }
  } finally {
    await server.close();
  }
}, 600_000);
