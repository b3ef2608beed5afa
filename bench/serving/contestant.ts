import type { Child } from '../lib/child.ts';
import { randomPrompts } from '../lib/random.ts';
import { decodeRate, type Timeline } from '../lib/timeline.ts';
import {
  type AdapterUse,
  adapterOf,
  atOnce,
  type Case,
  promptTokens,
  staggerTokens,
  warmUpTokens,
} from './cases.ts';

/** Everything a contestant needs to know of the run. */
export interface Setting {
  /** The base as it comes. */
  gguf: string;
  /** The adapters as PEFT saves them. */
  adapters: string[];
  vocabulary: number;
  threads: number;
  /** Tokens that a decode case generates for each sequence. */
  generate: number;
  /** Seconds that one measurement may take. */
  limit: number;
}

/** Whoever is measured. A case that it cannot run throws; the message is the reason that is printed. */
export interface Contestant {
  readonly name: string;
  measure(each: Case, round: number): Promise<number>;
  /** Ends what it started; the next measurement starts it anew. */
  end(): void;
}

/**
 * Prompts of one case and round: the same for every contestant, and never twice in a run, so that no cache of prefixes
 * helps anyone.
 */
export function promptsOf(
  setting: Setting,
  count: number,
  tokens: number,
  purpose: string,
  round: number,
): number[][] {
  let seed = round;
  for (const character of purpose) seed = (Math.imul(seed, 31) + character.charCodeAt(0)) >>> 0;
  return randomPrompts({ count, tokens, vocabulary: setting.vocabulary, seed });
}

/** A load for an engine: prompts, an adapter each, tokens to generate. */
export interface Load {
  prompts: number[][];
  adapters: Array<number | null>;
  generate: number;
}

/** An engine in a process of its own that answers one JSON line with one; ours and vLLM's are measured alike. */
export class EngineWorker {
  readonly #start: () => Child;
  readonly #setting: Setting;
  #child: Child | undefined;
  readonly #warm = new Set<AdapterUse>();

  constructor(setting: Setting, start: () => Child) {
    this.#setting = setting;
    this.#start = start;
  }

  async measure(each: Case & { kind: 'prefill' | 'decode' }, round: number): Promise<number> {
    const child = await this.#running();
    try {
      const use = each.kind === 'decode' ? each.adapters : 'none';
      await this.#warmUp(child, use);
      if (each.kind === 'prefill') {
        const prompts = promptsOf(this.#setting, 1, each.promptTokens, each.id, round);
        const times = await this.#run(child, { prompts, adapters: [null], generate: 1 });
        return each.promptTokens / times[0]![0]!;
      }
      const prompts = promptsOf(this.#setting, each.sequences, promptTokens, each.id, round);
      const adapters = adapterOf(use, each.sequences);
      return decodeRate(
        await this.#run(child, { prompts, adapters, generate: 1 + this.#setting.generate + staggerTokens }),
      );
    } finally {
      child.freeze();
    }
  }

  end(): void {
    this.#child?.end();
    this.#child = undefined;
    this.#warm.clear();
  }

  async #running(): Promise<Child> {
    if (this.#child) {
      this.#child.thaw();
      return this.#child;
    }
    const child = this.#start();
    this.#child = child;
    const ready = JSON.parse(await child.line(this.#setting.limit));
    if (ready.error) throw new Error(ready.error);
    return child;
  }

  /** Once on everything that the case touches: lazily made buffers are there, adapters are in memory. */
  async #warmUp(child: Child, use: AdapterUse): Promise<void> {
    if (this.#warm.has(use)) return;
    const prompts = promptsOf(this.#setting, atOnce, warmUpTokens, `warm-${use}`, 0);
    await this.#run(child, { prompts, adapters: adapterOf(use, prompts.length), generate: 2 });
    this.#warm.add(use);
  }

  async #run(child: Child, load: Load): Promise<Timeline> {
    child.send(JSON.stringify(load));
    const answer = JSON.parse(await child.line(this.#setting.limit));
    if (answer.error) throw new Error(answer.error);
    for (const times of answer.times as Timeline) {
      if (times.length !== load.generate)
        throw new Error(`A sequence has ${times.length} tokens where ${load.generate} were asked for.`);
    }
    return answer.times;
  }
}
