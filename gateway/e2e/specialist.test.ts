/** A trained adapter on the questions it never saw, over chat completions: PEFT's tokens in float32, its accuracy in int8. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fixtures, full } from './engine.ts';
import { type EngineServer, startEngineServer } from './server.ts';

interface Question {
  system: string;
  user: string;
  category: string;
  peft_ids: number[];
  margin: number[];
}

const questions = readFileSync(join(fixtures, 'medical-coding', 'heldout.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Question);
const PEFT_ACCURACY = 0.52;
const END = 2;
/** Answers that are asked for at once. */
const AT_ONCE = 32;

interface Answer {
  text: string;
  ids: number[];
  promptIds: number[];
}

async function ask(server: EngineServer, model: string, { system, user }: Question): Promise<Answer> {
  const { status, body } = await server.post('/v1/chat/completions', {
    model,
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: user },
    ],
    temperature: 0,
    max_tokens: 24,
    return_token_ids: true,
  });
  expect(status, JSON.stringify(body)).toBe(200);
  const answer = body as {
    prompt_token_ids: number[];
    choices: Array<{ message: { content: string }; token_ids: number[] }>;
  };
  const choice = answer.choices[0]!;
  return { text: choice.message.content, ids: choice.token_ids, promptIds: answer.prompt_token_ids };
}

/** The next tokens after ids, as a completion. */
async function go(
  server: EngineServer,
  model: string,
  prompt: number[],
  maxTokens: number,
): Promise<number[]> {
  const { body } = await server.post('/v1/completions', {
    model,
    prompt,
    temperature: 0,
    max_tokens: maxTokens,
    return_token_ids: true,
  });
  return (body as { choices: Array<{ token_ids: number[] }> }).choices[0]!.token_ids;
}

const withoutEnd = (ids: number[]) => (ids.at(-1) === END ? ids.slice(0, -1) : ids);

/** Margins at which ours and PEFT's tokens part; after each the answer goes on from PEFT's. */
async function partings(server: EngineServer, model: string, question: Question): Promise<number[]> {
  const { promptIds, ids } = await ask(server, model, question);
  const theirs = withoutEnd(question.peft_ids);
  const margins = [];
  let done = 0;
  let ours = ids;
  while (true) {
    const mine = withoutEnd(ours);
    const at = theirs.slice(done).findIndex((id, i) => id !== mine[i]);
    const step = at < 0 ? done + mine.length : done + at;
    // Past their end only a longer answer of ours is a parting, and PEFT stopped at 24 tokens or at the end token.
    if (at < 0 && (mine.length === theirs.length - done || question.peft_ids.at(-1) !== END)) return margins;
    margins.push(question.margin[Math.min(step, theirs.length)]!);
    done = step + 1;
    if (done >= theirs.length) return margins;
    ours = await go(server, model, [...promptIds, ...theirs.slice(0, done)], 24 - done);
  }
}

async function inGroups<Value>(
  items: Question[],
  run: (question: Question) => Promise<Value>,
): Promise<Value[]> {
  const results: Value[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(run))));
  }
  return results;
}

async function loadSpecialist(server: EngineServer): Promise<string> {
  const loaded = await server.post('/v1/load_lora_adapter', {
    lora_name: 'medical-coding',
    lora_path: join(fixtures, 'medical-coding', 'adapter'),
  });
  expect(loaded.status, JSON.stringify(loaded.body)).toBe(200);
  return 'medical-coding';
}

test('float32: the tokens of PEFT wherever its margin exceeds 0.05', async () => {
  const server = await startEngineServer({ COLOPHON_PRECISION: 'float32' });
  try {
    const model = await loadSpecialist(server);
    const asked = full ? questions : questions.filter((_, i) => i % 5 === 0);
    const margins = await inGroups(asked, (question) => partings(server, model, question));
    expect(margins.flat().filter((margin) => margin > 0.05)).toEqual([]);
  } finally {
    await server.close();
  }
}, 1_800_000);

test('int8: as many right answers as PEFT, within three points, and the base has none', async () => {
  const server = await startEngineServer({ COLOPHON_PRECISION: 'int8' });
  try {
    const model = await loadSpecialist(server);
    const answers = await inGroups(questions, (question) => ask(server, model, question));
    const right = answers.filter(({ text }, i) => text.startsWith(questions[i]!.category)).length;
    expect(Math.abs(right / questions.length - PEFT_ACCURACY)).toBeLessThanOrEqual(0.03);
    const some = questions.slice(0, full ? 100 : 20);
    const base = await inGroups(some, (question) => ask(server, server.base, question));
    expect(base.filter(({ text }, i) => text.startsWith(some[i]!.category))).toEqual([]);
  } finally {
    await server.close();
  }
}, 1_800_000);
