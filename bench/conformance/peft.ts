/** Real PEFT loads what is trained here, and what PEFT trained is served here: the same log-probabilities, in float32. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { peftEnvironment } from '../lib/peft_environment.ts';
import { type CaseOutcome, runCases } from './suite.ts';

/** Of a log-probability. */
const tolerance = 1e-3;
/** Of the 20 likeliest that PEFT names: so many must be among ours, as the last ones may change places. */
const inCommon = 18;

type Scores = Array<Array<Record<string, number>>>;
interface PeftAnswer {
  versions: Record<string, string>;
  ids: number[][];
  ours: Scores;
  theirs: Scores;
}

export async function peft(gguf: string, folder: string): Promise<CaseOutcome[]> {
  await peftEnvironment.setUp();
  const adapterFolder = join(folder, 'peft-adapters');
  mkdirSync(adapterFolder);
  const { url, child } = await startColophon(
    {
      gguf,
      adapterFolder,
      threads: availableParallelism(),
      kvBytes: 2 ** 28,
      adapterBytes: 2 ** 27,
      limit: 300,
      config: '    precision: float32\n',
    },
    false,
  );
  try {
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const name = await trained(openai);
    const models = (await openai.models.list()).data as Array<{ id: string; root?: string }>;
    const ours = models.find(({ id }) => id === name)!.root!;
    const script = join(root, 'bench', 'conformance', 'peft_suite.py');
    const theirs = join(adapterFolder, 'by-peft');
    const python = new Child(peftEnvironment.tool('python'), [script, gguf, ours, theirs]);
    const answer = JSON.parse(await python.output(1800)) as PeftAnswer;
    const versions = Object.entries(answer.versions).map((pair) => pair.join(' '));
    const greatest = async (model: string, scores: Scores) =>
      Math.max(...(await Promise.all(answer.ids.map((ids, i) => difference(url, model, ids, scores[i]!)))));
    return await runCases([
      {
        name: `PEFT loads what was trained here (${versions.join(', ')})`,
        run: async () => within(await greatest(name, answer.ours)),
      },
      {
        name: 'what PEFT trained is served here',
        run: async () => within(await greatest('by-peft', answer.theirs)),
      },
      {
        // Else agreement would say nothing of the adapters.
        name: 'both adapters change what the base says',
        run: async () => {
          assert.ok((await greatest('base', answer.ours)) > 0.1);
          assert.ok((await greatest('base', answer.theirs)) > 0.1);
        },
      },
    ]);
  } finally {
    child.end();
  }
}

function within(difference: number): void {
  assert.ok(difference <= tolerance, `Log-probabilities differ by ${difference}; ${tolerance} is allowed.`);
}

/** An adapter that was trained by a job; its name. */
async function trained(openai: OpenAI): Promise<string> {
  const animals = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'];
  const lines = animals.map((animal) => {
    const question = { role: 'user', content: `What says the ${animal}?` };
    return `${JSON.stringify({ messages: [question, { role: 'assistant', content: 'ZORP' }] })}\n`;
  });
  const file = await openai.files.create({
    purpose: 'fine-tune',
    file: await toFile(Buffer.from(lines.join('')), 'animals.jsonl'),
  });
  const recipe = {
    rank: 8,
    alpha: 16,
    rslora: true,
    epochs: 2,
    batch_size: 4,
    learning_rate: 2e-3,
    evaluations: 1,
  };
  const { id } = await openai.fineTuning.jobs.create({
    model: 'base',
    training_file: file.id,
    recipe,
  } as never);
  for (;;) {
    const { status, error, fine_tuned_model } = await openai.fineTuning.jobs.retrieve(id);
    if (status === 'succeeded') return fine_tuned_model!;
    assert.ok(!['failed', 'cancelled'].includes(status), `The job is ${status}: ${error?.message}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** The greatest difference of log-probabilities over a text, among the likeliest tokens of each place. */
async function difference(
  url: string,
  model: string,
  prompt: number[],
  theirs: Scores[number],
): Promise<number> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt, max_tokens: 1, prompt_logprobs: 20 }),
  });
  const { choices } = (await response.json()) as {
    choices: Array<{ prompt_logprobs: Array<Record<string, { logprob: number }> | null> }>;
  };
  const ours = choices[0]!.prompt_logprobs.slice(1);
  assert.equal(ours.length, theirs.length);
  let greatest = 0;
  for (const [at, expected] of theirs.entries()) {
    const common = Object.keys(expected).filter((id) => ours[at]![id]);
    if (model !== 'base')
      assert.ok(common.length >= inCommon, `Only ${common.length} of 20 tokens are the same.`);
    for (const id of common) greatest = Math.max(greatest, Math.abs(ours[at]![id]!.logprob - expected[id]!));
  }
  return greatest;
}
