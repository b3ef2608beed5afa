/** The second level as others see it: what was settled again, and by what lot. */
import type { AgainReason, SettledAgain, SettledShares, SettlesAgain } from '../../gateway/contract/index.ts';
import type { Records } from './records.ts';
import type { Settlement } from './settle.ts';
import type { Settling, SettlingOptions } from './settling.ts';

export class Again implements SettlesAgain {
  readonly #records: Records;
  readonly #settling: Settling;

  constructor(records: Records, settling: Settling) {
    this.#records = records;
    this.#settling = settling;
  }

  async since(place: number, most: number): Promise<Array<{ place: number; response: string }>> {
    return this.#records.settledAgain(place, most);
  }

  async of(response: string): Promise<SettledAgain | undefined> {
    const choices = this.#records.of(response, undefined).filter(({ second }) => second);
    const done = choices.filter(({ second }) => second!.status === 'done');
    if (done.length === 0 || choices.some(({ second }) => second!.status === 'wanted')) return undefined;
    // Where somebody asked about any choice, nothing of the response stands for others.
    const { why, probability = 1 } = (choices.find(({ second }) => second!.why !== 'sample') ?? done[0]!)
      .second!;
    return {
      why,
      times: Math.round(1 / probability),
      choices: done.map(({ choice, settlement }) => ({ choice, shares: sharesOf(settlement!) })),
    };
  }

  async settle(response: string, why: Exclude<AgainReason, 'sample'>): Promise<void> {
    await this.#settling.again(this.#records.of(response, undefined), why);
    await this.#settling.idle();
  }

  watch(more: () => void): void {
    this.#settling.watch(more);
  }
}

/**
 * A lot of one in a whole number, so that amounts that stand for as many responses stay whole. `draw`: a number from 0 to below 1
 * that nobody can foretell, always the same of a response.
 */
export function sampleOf(part: number, draw: (response: string) => number): SettlingOptions['sample'] {
  const times = part > 0 ? Math.round(1 / part) : Number.POSITIVE_INFINITY;
  return { of: (response) => draw(response) * times < 1, probability: 1 / times };
}

/** What the world is told of a settlement: fields in one order, and no others. */
export function sharesOf({
  level,
  influence,
  policy,
  total,
  base,
  pool,
  contributors,
}: Settlement): SettledShares {
  return {
    level,
    influence,
    policy,
    total,
    base,
    pool,
    contributors: contributors.map(({ contributor, micro, contributions }) => ({
      contributor,
      micro,
      contributions,
    })),
  };
}
