/**
 * Constant churn on a server: requests at random beside loads, unloads, replacements under the same name, files swapped under
 * a running server, and clients that leave. Every answer is compared, tokens and log-probabilities, with the one that its
 * adapter's content gave when it ran alone.
 */
import { copyFile, cp, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { seeded } from '../lib/random.ts';
import { type BaseShape, makeAdapters } from '../lib/synthetic_adapters.ts';

export interface ChurnOptions {
  url: string;
  /** Id of the base. */
  base: string;
  shape: BaseShape;
  /** A folder of the churn's own. */
  work: string;
  /** Served by the server: its sub-folders are adapters. */
  adapterFolder: string;
  ranks: number[];
  contentsPerRank: number;
  prompts: number;
  /** Names that are loaded by call, and requests and changes at once. */
  names: number;
  clients: number;
  changers: number;
  seed: number;
  /** Changes end when it is true; what is under way is waited for. */
  done: () => boolean;
}

export interface ChurnReport {
  /** Whole answers compared, and beginnings of those whose client left. */
  answers: number;
  cancelled: number;
  loads: number;
  unloads: number;
  replacements: number;
  swaps: number;
  /** Requests that met no adapter, or one whose files were just being swapped: told so, as they should be. */
  refused: number;
  /** A sentence for each answer that was wrong. */
  wrong: string[];
}

interface Content {
  path: string;
  rank: number;
  /** By question. */
  expected: Answer[];
}

interface Answer {
  tokens: number[];
  logprobs: number[];
}

/** What a name may answer with while a request runs: a content, nothing (unloaded), or an error about files just swapped. */
type Possible = Content | 'absent' | 'swapped';

interface Name {
  name: string;
  possible: Set<Possible>;
  /** Of the requests under way. */
  asked: Set<Set<Possible>>;
  changing: boolean;
}

const tokens = 16;

export async function churn(options: ChurnOptions): Promise<ChurnReport> {
  const run = new Churn(options);
  await run.prepare();
  return run.run();
}

class Churn {
  readonly #options: ChurnOptions;
  readonly #random: () => number;
  readonly #base: Content = { path: '', rank: 0, expected: [] };
  readonly #contents: Content[] = [];
  readonly #called: Name[];
  /** In the adapter folder: their files are swapped. */
  readonly #found: Name[];
  readonly #report: ChurnReport = {
    answers: 0,
    cancelled: 0,
    loads: 0,
    unloads: 0,
    replacements: 0,
    swaps: 0,
    refused: 0,
    wrong: [],
  };

  constructor(options: ChurnOptions) {
    this.#options = options;
    this.#random = seeded(options.seed);
    const name = (prefix: string) => (_: unknown, i: number) => ({
      name: `${prefix}-${i}`,
      possible: new Set<Possible>(['absent']),
      asked: new Set<Set<Possible>>(),
      changing: false,
    });
    this.#called = Array.from({ length: options.names }, name('called'));
    this.#found = Array.from({ length: options.ranks.length }, name('found'));
  }

  /** Makes the contents and asks each one all questions, alone. */
  async prepare(): Promise<void> {
    const { shape, work, ranks, contentsPerRank, base, adapterFolder } = this.#options;
    this.#base.expected = await this.#askAll(base);
    for (const [i, rank] of ranks.entries()) {
      for (const path of makeAdapters(join(work, `rank-${rank}`), shape, rank, contentsPerRank)) {
        await this.#post('/v1/load_lora_adapter', { lora_name: 'solo', lora_path: path });
        this.#contents.push({ path, rank, expected: await this.#askAll('solo') });
        await this.#post('/v1/unload_lora_adapter', { lora_name: 'solo' });
      }
      const content = this.#contents.find((each) => each.rank === rank)!;
      const found = this.#found[i]!;
      await mkdir(adapterFolder, { recursive: true });
      await cp(content.path, join(adapterFolder, found.name), { recursive: true });
      found.possible = new Set([content]);
    }
    const distinct = new Set([this.#base, ...this.#contents].map(({ expected }) => JSON.stringify(expected)));
    if (distinct.size !== this.#contents.length + 1)
      throw new Error('Some adapters answer alike: they prove nothing.');
  }

  async run(): Promise<ChurnReport> {
    const { clients, changers, done } = this.#options;
    const loop = async (work: () => Promise<void>) => {
      while (!done() && this.#report.wrong.length < 20) await work();
    };
    await Promise.all([
      ...Array.from({ length: clients }, () => loop(() => this.#client())),
      ...Array.from({ length: changers }, () => loop(() => this.#change())),
    ]);
    return this.#report;
  }

  /** One request to anything, whole or cut. */
  async #client(): Promise<void> {
    const all = [...this.#called, ...this.#found, undefined];
    const name = this.#pick(all);
    const question = Math.floor(this.#random() * this.#options.prompts);
    const possible = new Set<Possible>(name ? name.possible : [this.#base]);
    name?.asked.add(possible);
    const leaveAfter = this.#random() < 0.25 ? 1 + Math.floor(this.#random() * (tokens - 2)) : undefined;
    const salt = this.#random() < 0.2 ? 'salt' : undefined;
    try {
      const { status, answer, body } = await this.#ask(
        name?.name ?? this.#options.base,
        question,
        leaveAfter,
        salt,
      );
      if (status === 200) this.#compare(answer, question, possible, name?.name ?? 'the base', leaveAfter);
      else if (status === 404 && possible.has('absent')) this.#report.refused++;
      else if (status === 400 && possible.has('swapped') && /changed on disk|keep changing/.test(body))
        this.#report.refused++;
      else this.#report.wrong.push(`${name?.name} answered ${status}: ${body.slice(0, 300)}`);
    } finally {
      name?.asked.delete(possible);
    }
  }

  #compare(
    answer: Answer,
    question: number,
    possible: Set<Possible>,
    name: string,
    leaveAfter: number | undefined,
  ): void {
    if (leaveAfter === undefined) this.#report.answers++;
    else this.#report.cancelled++;
    const whole = leaveAfter === undefined ? tokens : Math.min(leaveAfter, answer.tokens.length);
    const same = (expected: Answer) =>
      answer.tokens.length >= whole &&
      answer.tokens.every((token, i) => token === expected.tokens[i]) &&
      answer.logprobs.every((logprob, i) => logprob === expected.logprobs[i]);
    for (const content of possible)
      if (typeof content === 'object' && same(content.expected[question]!)) return;
    const right = [this.#base, ...this.#contents].find((content) => same(content.expected[question]!));
    this.#report.wrong.push(
      `${name} answered question ${question} with ${answer.tokens.length} tokens that are ` +
        `${right ? `those of ${right.path || 'the base'}` : 'nobody’s'}.`,
    );
  }

  /** One change of one name that nobody else changes. */
  async #change(): Promise<void> {
    const free = [...this.#called, ...this.#found].filter((name) => !name.changing);
    const name = free.length > 0 ? this.#pick(free) : undefined;
    if (!name) return pause(1);
    name.changing = true;
    try {
      if (this.#found.includes(name)) await this.#swap(name);
      else await this.#loadOrUnload(name);
    } finally {
      name.changing = false;
    }
    await pause(20 * this.#random());
  }

  async #loadOrUnload(name: Name): Promise<void> {
    const absent = name.possible.has('absent');
    if (!absent && this.#random() < 0.3) {
      await this.#become(name, 'absent', [], () =>
        this.#post('/v1/unload_lora_adapter', { lora_name: name.name }),
      );
      this.#report.unloads++;
      return;
    }
    const content = this.#pick(this.#contents);
    await this.#become(name, content, [], () =>
      this.#post('/v1/load_lora_adapter', {
        lora_name: name.name,
        lora_path: content.path,
        load_inplace: !absent,
      }),
    );
    if (absent) this.#report.loads++;
    else this.#report.replacements++;
  }

  /** Puts the tensors of another content of the same rank in the place of those there, at once. */
  async #swap(name: Name): Promise<void> {
    const rank = this.#options.ranks[this.#found.indexOf(name)]!;
    const content = this.#pick(this.#contents.filter((each) => each.rank === rank));
    const target = join(this.#options.adapterFolder, name.name, 'adapter_model.safetensors');
    const aside = join(this.#options.work, `${name.name}.part`);
    await copyFile(join(content.path, 'adapter_model.safetensors'), aside);
    await this.#become(name, content, ['swapped'], () => rename(aside, target));
    this.#report.swaps++;
  }

  /** While `act` runs the name may be what it was or `next`; afterwards it is `next`. */
  async #become(name: Name, next: Possible, besides: Possible[], act: () => Promise<unknown>): Promise<void> {
    const coming = [next, ...besides];
    for (const possible of [name.possible, ...name.asked]) for (const each of coming) possible.add(each);
    await act();
    name.possible = new Set([next]);
  }

  async #askAll(model: string): Promise<Answer[]> {
    const answers = [];
    for (let question = 0; question < this.#options.prompts; question++) {
      const { status, answer, body } = await this.#ask(model, question);
      if (status !== 200) throw new Error(`${model} answered ${status}: ${body}`);
      answers.push(answer);
    }
    return answers;
  }

  /** Even questions are greedy, odd ones drawn by a seed. Leaves after so many chunks where asked to. */
  async #ask(
    model: string,
    question: number,
    leaveAfter?: number,
    salt?: string,
  ): Promise<{ status: number; answer: Answer; body: string }> {
    const random = seeded(1000 + question);
    const abort = new AbortController();
    const answer: Answer = { tokens: [], logprobs: [] };
    const response = await fetch(`${this.#options.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      signal: abort.signal,
      body: JSON.stringify({
        model,
        prompt: Array.from({ length: 8 + 12 * question }, () => 100 + Math.floor(random() * 40_000)),
        max_tokens: tokens,
        temperature: question % 2 === 0 ? 0 : 0.8,
        seed: question,
        ignore_eos: true,
        logprobs: 0,
        return_token_ids: true,
        stream: true,
        ...(salt === undefined ? {} : { cache_salt: salt }),
      }),
    });
    if (response.status !== 200) return { status: response.status, answer, body: await response.text() };
    let chunks = 0;
    let rest = '';
    const decoder = new TextDecoder();
    try {
      for await (const bytes of response.body!) {
        const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
        rest = lines.pop()!;
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue;
          const event = JSON.parse(line.slice(6));
          if (event.error)
            return { status: event.error.code === 'bad_adapter' ? 400 : 500, answer, body: line };
          const choice = event.choices?.[0];
          answer.tokens.push(...(choice?.token_ids ?? []));
          answer.logprobs.push(...(choice?.logprobs?.token_logprobs ?? []));
          if (++chunks === leaveAfter) return { status: 200, answer, body: '' };
        }
      }
    } finally {
      abort.abort();
    }
    return { status: 200, answer, body: '' };
  }

  async #post(path: string, body: object): Promise<void> {
    const response = await fetch(this.#options.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (response.status !== 200)
      this.#report.wrong.push(`${path} answered ${response.status}: ${text.slice(0, 300)}`);
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
