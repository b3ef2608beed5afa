/**
 * Settles answers after they were served, one after the other, the oldest first: each by what generating gave for nothing, and those
 * who ask, with a random sample, by gradients afterwards.
 */
import type { BaseWeights, Logger } from '../../gateway/contract/index.ts';
import type { Corpora } from './corpus.ts';
import type { Appraiser } from './gradients/appraiser.ts';
import type { AnswerRecord, Records, SecondLevel } from './records.ts';
import { firstShares, type Settled, type Settlement, secondShares, unattributedShares } from './settle.ts';
import type { SharePolicy } from './shares/policy.ts';
import type { AnswerShares } from './shares/shares.ts';

const atOnce = 64;
/** What passes by itself: too many open files, a disk that does not answer. */
const passing = new Set(['EMFILE', 'ENFILE', 'EIO', 'EAGAIN', 'ENOMEM']);
const retryMs = 5000;
/** Tokens of a prompt and its answer: what gradients need grows with them. */
const longestAppraised = 2048;

export interface SettlingOptions {
  records: Records;
  corpora: Corpora;
  policy: SharePolicy;
  log: Pick<Logger, 'warn'>;
  appraiser: Pick<Appraiser, 'evidence' | 'close'>;
  /** Where the weights of a model's base lie, and its longest sequence; undefined where they are not on this machine. */
  base(model: string): Promise<{ weights: BaseWeights; longest: number } | undefined>;
  /** Whether a response is in the sample, and the probability that any is. */
  sample: { of(response: string): boolean; probability: number };
}

type Made = AnswerShares | { reason: string };

export class Settling {
  readonly #options: SettlingOptions;
  /** Of each level: one run at a time, and once more where something came in the meantime. */
  readonly #levels = {
    first: new Turns(
      () => this.#first(),
      (error) => this.#failed(error),
    ),
    second: new Turns(
      () => this.#second(),
      (error) => this.#failed(error),
    ),
  };
  #retry: NodeJS.Timeout | undefined;
  /** Those who wait for an answer to be settled, by its number. */
  readonly #waiting = new Map<number, Array<() => void>>();
  readonly #watching: Array<() => void> = [];

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** There may be answers to settle. */
  wake(): void {
    this.#levels.first.wake();
  }

  /** Has the choices of a response settled by gradients; false where none can be, or all were. */
  async again(choices: readonly AnswerRecord[], why: 'asked' | 'dispute'): Promise<boolean> {
    const seqs: number[] = [];
    for (const record of choices) if (await this.#hasGradients(record)) seqs.push(record.seq);
    if (!this.#options.records.want(seqs, { status: 'wanted', why })) return false;
    this.#levels.second.wake();
    return true;
  }

  /** `more`: is called after each answer that was settled again, or could not be. */
  watch(more: () => void): void {
    this.#watching.push(more);
  }

  async #hasGradients({ folder, adapter }: AnswerRecord): Promise<boolean> {
    const corpus = await this.#options.corpora.of(folder, adapter).catch(() => undefined);
    const influence = await corpus?.influence().catch(() => undefined);
    return influence !== undefined && influence.methods.second !== null;
  }

  /** What a choice of a response is settled to first, once it is; undefined where nothing is known of it. */
  async first(
    response: string,
    choice: number,
  ): Promise<{ settlement: Settlement; reason: string | null } | undefined> {
    const { records } = this.#options;
    const find = () => records.of(response, undefined).find((record) => record.choice === choice);
    const found = find();
    if (!found) return undefined;
    if (found.status === 'settling') {
      await new Promise<void>((resolve) => {
        this.#waiting.set(found.seq, [...(this.#waiting.get(found.seq) ?? []), resolve]);
        this.wake();
      });
    }
    const { settlement, second, reason } = found.status === 'settling' ? find()! : found;
    return { settlement: (second?.first ?? settlement)!, reason };
  }

  /** Resolves when none is left that could be settled. */
  async idle(): Promise<void> {
    await this.#levels.first.idle();
    await this.#levels.second.idle();
  }

  /** After the answer that is under way; the others are settled by a later run. */
  async stop(): Promise<void> {
    clearTimeout(this.#retry);
    this.#options.appraiser.close();
    await Promise.all([this.#levels.first.stop(), this.#levels.second.stop()]);
  }

  async #first(): Promise<void> {
    const { records } = this.#options;
    const { first, second } = this.#levels;
    second.wake();
    for (let some = records.unsettled(atOnce); some.length > 0; some = records.unsettled(atOnce)) {
      for (const record of some) {
        if (first.stopped) return;
        if (!(await this.#settle(record))) return this.#later();
      }
      second.wake();
    }
  }

  /** Its store cannot be written: what is to be settled waits there. */
  #failed(error: Error): void {
    this.#options.log.warn({ error: error.message }, 'Answers cannot be settled now; it is tried again.');
    this.#later();
  }

  #later(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.wake(), retryMs);
    this.#retry.unref();
  }

  /** False where it has to be tried again. */
  async #settle(record: AnswerRecord): Promise<boolean> {
    const { records, log, policy } = this.#options;
    const made = await this.#made(record).catch((error: NodeJS.ErrnoException) => {
      log.warn({ adapter: record.model, response: record.response }, error.message);
      return passing.has(error.code ?? '') ? undefined : { reason: error.message };
    });
    if (!made) return false;
    const reason = 'reason' in made ? made.reason : null;
    const { tokens: _, ...whole } = 'reason' in made ? unattributedShares(record.tokens, policy) : made;
    const drawn = reason === null ? await this.#drawn(record) : null;
    const status = reason === null ? 'settled' : 'unattributed';
    records.settle(record.seq, status, reason, { level: 1, ...whole }, drawn);
    for (const resolve of this.#waiting.get(record.seq) ?? []) resolve();
    this.#waiting.delete(record.seq);
    return true;
  }

  /** Whether the lot falls on an answer: all choices of a response have one, and none once one of them was asked about. */
  async #drawn(record: AnswerRecord): Promise<SecondLevel | null> {
    const { records, sample } = this.#options;
    if (!sample.of(record.response) || !(await this.#hasGradients(record))) return null;
    const asked = records
      .of(record.response, undefined)
      .some(({ second }) => second && second.why !== 'sample');
    return asked ? null : { status: 'wanted', why: 'sample', probability: sample.probability };
  }

  /** Shares of its first settlement, made anew; the reason where nobody can be named. Rejects with a sentence where it cannot be told. */
  async #made(record: AnswerRecord): Promise<Made> {
    const settled = await this.#settled(record);
    return 'reason' in settled ? settled : firstShares(settled);
  }

  async #settled({
    reason,
    evidence,
    spans,
    folder,
    adapter,
  }: AnswerRecord): Promise<Settled | { reason: string }> {
    const { corpora, policy } = this.#options;
    if (reason !== null) return { reason };
    if (!evidence) return { reason: 'What it said is no longer kept.' };
    const corpus = await corpora.of(folder, adapter);
    const origins = await corpus.origins();
    if (!origins)
      return { reason: 'It was trained on a file, not on a Datanet: nobody is named as having taught it.' };
    return { answer: { evidence, spans }, corpus, origins, policy };
  }

  async #second(): Promise<void> {
    const { records, log } = this.#options;
    for (let record = records.wanted(); record; record = records.wanted()) {
      if (this.#levels.second.stopped) return;
      try {
        const { evidence, settled } = await this.#appraised(record);
        const { tokens: _, ...whole } = await secondShares(settled, evidence);
        const done = { status: 'done', evidence, first: record.settlement! } as const;
        records.settleAgain(record, done, { level: 2, ...whole });
      } catch (error) {
        // A server that stops ends its process: the next run settles it.
        if (this.#levels.second.stopped) return;
        const reason = (error as Error).message;
        log.warn({ adapter: record.model, response: record.response }, reason);
        records.settleAgain(record, { status: 'failed', reason }, null);
      }
      for (const more of this.#watching) more();
    }
  }

  /** Rejects with a sentence. */
  async #appraised(record: AnswerRecord) {
    const settled = await this.#settled(record);
    if ('reason' in settled) throw new Error(settled.reason);
    const { appraiser, policy } = this.#options;
    const influence = await settled.corpus.influence();
    const method = influence?.methods.second;
    if (!method) throw new Error('The adapter has no index of gradients that is to be used.');
    const base = await this.#options.base(record.model);
    if (!base) throw new Error('The weights of its base are not on this machine.');
    const { folder, adapter } = record;
    const { prompt, ids } = settled.answer.evidence;
    const evidence = await appraiser.evidence(
      {
        weights: base.weights,
        longest: Math.min(base.longest, longestAppraised),
        folder,
        adapter,
        method,
        deviations: policy.deviations,
      },
      { prompt: Array.from(prompt), tokens: Array.from(ids) },
    );
    return { settled, evidence };
  }

  /** What `record` was settled to, with the shares of each token; undefined where they can no longer be made. */
  async tokens(record: AnswerRecord): Promise<AnswerShares['tokens'] | undefined> {
    if (record.status !== 'settled' || !record.evidence) return undefined;
    const { second, settlement } = record;
    const settled = await this.#settled(record);
    if ('reason' in settled) return undefined;
    const made = second?.evidence
      ? await secondShares(settled, second.evidence)
      : await firstShares(settled, settlement!);
    return made.tokens;
  }
}

/** Runs something again and again, never twice at once. */
class Turns {
  readonly #turn: () => Promise<void>;
  readonly #failed: (error: Error) => void;
  #again = false;
  #running: Promise<void> | undefined;
  stopped = false;

  constructor(turn: () => Promise<void>, failed: (error: Error) => void) {
    this.#turn = turn;
    this.#failed = failed;
  }

  wake(): void {
    this.#again = true;
    if (this.stopped || this.#running) return;
    this.#again = false;
    this.#running = this.#turn()
      .catch(this.#failed)
      .finally(() => {
        this.#running = undefined;
        if (this.#again) this.wake();
      });
  }

  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.#running;
  }
}
