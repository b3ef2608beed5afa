/** What a training beside it costs serving, and how many answers of adapters are right: both asked of the real server. */

import type { CodingExample } from '../../plugins/datanet/demo/medical_coding.ts';
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
