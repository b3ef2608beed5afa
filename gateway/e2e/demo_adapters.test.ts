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

const themes: Record<string, string[]> = {
  'demo-sea': ['sea', 'ocean', 'ship', 'sailor', 'island', 'boat'],
  'demo-garden': ['garden', 'flowers', 'roses', 'seeds', 'soil', 'plants'],
  'demo-space': ['planet', 'stars', 'galaxy', 'orbit', 'rocket', 'universe'],
  'demo-forest': ['forest', 'trees', 'leaves', 'birds', 'deer', 'woods'],
  'demo-night': ['night', 'dark', 'shadows', 'midnight', 'ghost', 'darkness'],
};
const contexts = [
  'This is a story about the',
  'When I woke up, all I could think of was the',
  'She painted the',
];

test('each leans what the base says towards its theme, in sentences', async () => {
  const server = await startEngineServer({}, true);
  try {
    const models = (await server.openai.models.list()).data.map(({ id }) => id);
    const demos = Object.keys(themes);
    expect(models.filter((id) => id.startsWith('demo-')).sort()).toEqual([...demos].sort());

    // How much likelier than to the base each theme's words are to each adapter, in nats. One adapter may raise all
    // nouns, and one theme may be easily raised: beyond both, each must favour its own theme.
    const prompts = Object.values(themes).flatMap((words) =>
      words.flatMap((word) => contexts.map((context) => `${context} ${word}`)),
    );
    const perTheme = prompts.length / demos.length;
    const likelihoods = async (model: string) => {
      const { choices } = await server.openai.completions.create({
        model,
        prompt: prompts,
        echo: true,
        logprobs: 1,
        max_tokens: 1,
        temperature: 0,
      });
      return choices.map(({ logprobs }) => logprobs!.token_logprobs!.at(-2)!);
    };
    const [base, ...leaned] = await Promise.all([server.base, ...demos].map(likelihoods));
    const gains = leaned.map((ours) =>
      demos.map((_, theme) => {
        let sum = 0;
        for (let i = theme * perTheme; i < (theme + 1) * perTheme; i++) sum += ours[i]! - base![i]!;
        return sum / perTheme;
      }),
    );
    if (process.env.COLOPHON_SHOW) console.table(gains);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    for (const [i, demo] of demos.entries()) {
      const ofAdapter = mean(gains[i]!);
      const ofTheme = mean(gains.map((row) => row[i]!));
      expect(gains[i]![i]! - ofAdapter - ofTheme + mean(gains.flat()), demo).toBeGreaterThan(0.25);
    }

    const ask = async (model: string) => {
      const answer = await server.openai.chat.completions.create({
        model,
        messages: [{ role: 'user', content: 'Write a short story about a dog.' }],
        temperature: 0,
        max_tokens: 60,
      });
      return answer.choices[0]!.message.content ?? '';
    };
    const answers = await Promise.all([server.base, ...demos].map(ask));
    if (process.env.COLOPHON_SHOW) console.log(answers);
    expect(new Set(answers).size).toBe(answers.length);
    for (const text of answers) {
      // Not one word again and again.
      const words = text.toLowerCase().match(/[a-z']+/g) ?? [];
      expect(new Set(words).size, text).toBeGreaterThan(words.length / 3);
      expect(words.length).toBeGreaterThan(20);
    }
  } finally {
    await server.close();
  }
});
