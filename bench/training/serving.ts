/** What a training beside it costs serving, and how many answers of adapters are right: both asked of the real server. */

import { setTimeout as pause } from 'node:timers/promises';
import type { CodingExample } from '../../plugins/datanet/demo/medical_coding.ts';
import type { JobObject } from '../../plugins/training/job.ts';
import type { Recipe } from '../../plugins/training/recipe.ts';
import { percentile } from '../lib/statistics.ts';

/** Milliseconds between the tokens of one streamed answer. */
export async function gapsOf(url: string, tokens: number): Promise<number[]> {
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'base',
      prompt: 'The history of medicine begins with',
      max_tokens: tokens,
      stream: true,
      temperature: 0.8,
      seed: 1,
      ignore_eos: true,
    }),
  });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  const gaps: number[] = [];
  let last: number | undefined;
  for await (const _chunk of answer.body!) {
    const now = performance.now();
    if (last !== undefined) gaps.push(now - last);
    last = now;
  }
  return gaps;
}

/** 95th percentile of the gaps of several answers, one after another. */
export async function gapP95(url: string, answers: number, tokens: number): Promise<number> {
  const gaps: number[] = [];
  for (let i = 0; i < answers; i++) gaps.push(...(await gapsOf(url, tokens)));
  return percentile(gaps, 0.95);
}

/** Of the questions those, in percent, whose greedy answer begins with the right category. */
export async function accuracyOf(
  url: string,
  model: string,
  questions: readonly CodingExample[],
): Promise<number> {
  let right = 0;
  let next = 0;
  const ask = async () => {
    while (next < questions.length) {
      const { content, category } = questions[next++]!;
      const messages = (content.messages as object[]).slice(0, -1);
      const answer = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, messages, max_tokens: 8, temperature: 0 }),
      });
      if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
      const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] };
      if (choices[0]!.message.content.startsWith(category)) right++;
    }
  };
  await Promise.all(Array.from({ length: 16 }, ask));
  return (100 * right) / questions.length;
}

const jobsPath = '/v1/fine_tuning/jobs';

async function ask<Answer>(url: string, init?: RequestInit): Promise<Answer> {
  const answer = await fetch(url, init);
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

/** A job of the server itself, in the middle of its work: a user's job shares its session, hence its rank, with the server. */
export async function startJob(
  url: string,
  examples: readonly CodingExample[],
  recipe: Recipe,
): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  const lines = examples.map(({ content }) => `${JSON.stringify(content)}\n`);
  form.set('file', new Blob([lines.join('')]), 'coding.jsonl');
  const file = await ask<{ id: string }>(`${url}/v1/files`, { method: 'POST', body: form });
  const { id } = await ask<JobObject>(`${url}${jobsPath}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'base', training_file: file.id, recipe }),
  });
  for (;;) {
    const { status, tokens_per_second, error } = await jobOf(url, id);
    if (tokens_per_second) return id;
    if (error) throw new Error(`The job ${status}: ${error.message}`);
    await pause(200);
  }
}

export const jobOf = (url: string, id: string) => ask<JobObject>(`${url}${jobsPath}/${id}`);

/** Resolves when it is over. */
export async function cancelJob(url: string, id: string): Promise<void> {
  await ask(`${url}${jobsPath}/${id}/cancel`, { method: 'POST' });
  while ((await jobOf(url, id)).status !== 'cancelled') await pause(200);
}
