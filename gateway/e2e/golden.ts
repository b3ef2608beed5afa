/** The reference results (fixtures/golden, see its README) and how far an engine is from them. */
import { join } from 'node:path';
import { fixtures, goldenPath, readJson, type TestEngine } from './engine.ts';

export interface GoldenPrompt {
  ids: number[];
  last: { top20: Array<[id: number, logit: number]>; top20_next: number; logsumexp: number; fixed: number[] };
  greedy: { ids: number[]; logprob: number[]; margin: number[] };
}

export interface GoldenModel {
  name: string;
  /** Folder of the adapter; undefined for the base. */
  folder: string | undefined;
  prompts: GoldenPrompt[];
  nll: { mean: number; logprob: number[] };
}

interface BaseFile {
  fixed_ids: number[];
  prompts: GoldenPrompt[];
  text: { ids: number[]; nll: GoldenModel['nll'] };
}

interface AdaptersFile {
  adapters: Array<{ name: string; prompts: GoldenPrompt[]; text_nll: GoldenModel['nll'] }>;
}

const base = readJson<BaseFile>(join(fixtures, 'golden', 'base.json'));
const adapters = readJson<AdaptersFile>(join(fixtures, 'golden', 'adapters.json')).adapters;

export const fixedIds = base.fixed_ids;
export const textIds = base.text.ids;

/** The base and every golden adapter whose files are here. */
export const goldenModels: GoldenModel[] = [
  { name: 'base', folder: undefined, prompts: base.prompts, nll: base.text.nll },
  ...adapters.map(({ name, prompts, text_nll }) => ({
    name,
    folder: goldenPath(join('adapters', name)),
    prompts,
    nll: text_nll,
  })),
].filter(({ name, folder }) => name === 'base' || folder !== undefined);

/** KL(reference || ours) over the reference's top 20 at a prompt's last position, nats. */
export async function klOverTop20(
  engine: TestEngine,
  prompt: GoldenPrompt,
  adapter?: number,
): Promise<number> {
  const { top20, logsumexp } = prompt.last;
  const ours = await engine.logprobsOf(
    prompt.ids,
    top20.map(([id]) => id),
    adapter,
  );
  return top20.reduce((sum, [id, logit]) => {
    const reference = logit - logsumexp;
    return sum + Math.exp(reference) * (reference - ours.get(id)!);
  }, 0);
}

/** How the greedy continuation compares, each step given the reference's tokens before it (one full pass). */
export async function forcedGreedy(engine: TestEngine, prompt: GoldenPrompt, adapter?: number) {
  const { ids, margin, logprob } = prompt.greedy;
  const run = await engine.run({ prompt: [...prompt.ids, ...ids], adapter, maxTokens: 1, promptLogprobs: 1 });
  return ids.map((id, i) => {
    const ours = run.promptLogprobs[prompt.ids.length + i]!;
    return {
      id,
      same: ours.rank === 1,
      margin: margin[i]!,
      difference: Math.abs(ours.logprob - logprob[i]!),
    };
  });
}

/**
 * Decodes like a client and follows the reference where both may part: returns the steps at which our token was another,
 * with the reference's margin there.
 */
export async function decodedDivergences(
  engine: TestEngine,
  start: number[],
  reference: { ids: number[]; margin: number[] },
  adapter?: number,
): Promise<Array<{ step: number; margin: number; ours: number; reference: number }>> {
  const divergences = [];
  let done = 0;
  while (done < reference.ids.length) {
    const prompt = [...start, ...reference.ids.slice(0, done)];
    const { tokens } = await engine.run({ prompt, adapter, maxTokens: reference.ids.length - done });
    const at = tokens.findIndex((token, i) => token !== reference.ids[done + i]);
    if (at < 0) break;
    const step = done + at;
    divergences.push({
      step,
      margin: reference.margin[step]!,
      ours: tokens[at]!,
      reference: reference.ids[step]!,
    });
    done = step + 1;
  }
  return divergences;
}

/** Log-probability of each token of the golden text from the second on. */
export async function textLogprobs(engine: TestEngine, adapter?: number): Promise<number[]> {
  const run = await engine.run({ prompt: textIds, adapter, maxTokens: 1, promptLogprobs: 0 });
  return run.promptLogprobs.slice(1).map(({ logprob }) => logprob);
}
