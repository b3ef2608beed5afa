/**
 * Requests and tokens that a tenant may have in a minute. A minute begins with the first of them. Tokens are reserved before an
 * answer begins, all that it might take, and what it did not take is given back in the same minute: so no burst passes a limit.
 */
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import type { ConfigValues } from '../config/index.ts';
import { ColophonError } from '../contract/index.ts';
import type { Caller } from './callers.ts';

/** In a minute; what is absent is unlimited. */
export type Limits = NonNullable<ConfigValues['access']['limits']>;

export interface Reservation {
  /** Gives back what was not used. Once. */
  settle(used: number): Promise<void>;
}

/** As clients are told of one limit. */
export interface LimitState {
  name: 'requests' | 'tokens';
  limit: number;
  remaining: number;
  resetMs: number;
}

type Name = LimitState['name'];
type Bucket = Partial<Record<Name, RateLimiterMemory>>;

const words = { requests: 'requests per min (RPM)', tokens: 'tokens per min (TPM)' };

export class RateLimits {
  readonly #common: Limits | undefined;
  /** By tenant, or by key where a key has limits of its own. As many as the configuration names. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(access: Pick<ConfigValues['access'], 'limits'>) {
    this.#common = access.limits;
  }

  /** Whether there is anything to count for this caller. */
  limits(caller: Caller): boolean {
    return this.#bucket(caller) !== undefined;
  }

  /** Counts a request; a 429 where there were too many. One that is refused does not count. */
  async takeRequest(caller: Caller): Promise<void> {
    const limiter = this.#bucket(caller)?.requests;
    if (limiter) await take('requests', limiter, 1);
  }

  /** Takes all the tokens that an answer might need; a 429 where they are not there. */
  async reserve(caller: Caller, tokens: number): Promise<Reservation> {
    const limiter = this.#bucket(caller)?.tokens;
    if (!limiter) return { settle: async () => {} };
    if (tokens > limiter.points) {
      throw new ColophonError(
        `Request too large on ${words.tokens}: Limit ${limiter.points}, Requested ${tokens} (the prompt and all that may be generated). Shorten the prompt, or lower the most that may be generated (max_tokens).`,
        { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
      );
    }
    const ends = Date.now() + (await take('tokens', limiter, tokens)).msBeforeNext;
    return {
      settle: async (used) => {
        // Another minute owes this one nothing.
        if (used < tokens && Date.now() < ends) await limiter.reward(key, tokens - used);
      },
    };
  }

  /** Runs what takes at most so many tokens; `used` is told how many it took so far. A 429 where they are not there. */
  spend<Result>(
    caller: Caller,
    atMost: number,
    run: (used: (tokens: number) => void) => Promise<Result>,
  ): Promise<Result> {
    return this.limits(caller) ? this.#spend(caller, atMost, run) : run(() => {});
  }

  async #spend<Result>(
    caller: Caller,
    atMost: number,
    run: (used: (tokens: number) => void) => Promise<Result>,
  ): Promise<Result> {
    const reservation = await this.reserve(caller, atMost);
    let taken = 0;
    try {
      return await run((tokens) => {
        taken = tokens;
      });
    } finally {
      await reservation.settle(taken);
    }
  }

  async states(caller: Caller): Promise<LimitState[]> {
    const bucket = this.#bucket(caller) ?? {};
    const states: LimitState[] = [];
    for (const name of ['requests', 'tokens'] as const) {
      const limiter = bucket[name];
      if (!limiter) continue;
      const now = await limiter.get(key);
      states.push({
        name,
        limit: limiter.points,
        remaining: now && now.msBeforeNext > 0 ? now.remainingPoints : limiter.points,
        resetMs: Math.max(now?.msBeforeNext ?? 0, 0),
      });
    }
    return states;
  }

  /** OpenAI's headers; none for those without limits. */
  async headers(caller: Caller): Promise<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const { name, limit, remaining, resetMs } of await this.states(caller)) {
      headers[`x-ratelimit-limit-${name}`] = String(limit);
      headers[`x-ratelimit-remaining-${name}`] = String(remaining);
      headers[`x-ratelimit-reset-${name}`] = formatDuration(resetMs);
    }
    return headers;
  }

  #bucket(caller: Caller): Bucket | undefined {
    if (caller.unlimited) return undefined;
    const limits = caller.limits ?? this.#common;
    if (!limits) return undefined;
    const id = caller.limits ? `key ${caller.limits.key}` : `tenant ${caller.tenant}`;
    let bucket = this.#buckets.get(id);
    if (!bucket) {
      const { requests_per_minute: requests, tokens_per_minute: tokens } = limits;
      bucket = {
        ...(requests === undefined ? {} : { requests: perMinute(requests) }),
        ...(tokens === undefined ? {} : { tokens: perMinute(tokens) }),
      };
      this.#buckets.set(id, bucket);
    }
    return bucket;
  }
}

/** Each limiter has one counter. */
const key = 'all';

function perMinute(points: number): RateLimiterMemory {
  return new RateLimiterMemory({ points, duration: 60 });
}

async function take(name: Name, limiter: RateLimiterMemory, count: number): Promise<RateLimiterRes> {
  try {
    return await limiter.consume(key, count);
  } catch (refused) {
    if (refused instanceof Error) throw refused;
    // The limiter has counted it all the same.
    const { msBeforeNext, consumedPoints } = await limiter.reward(key, count);
    throw new ColophonError(
      `Rate limit reached on ${words[name]}: Limit ${limiter.points}, Used ${Math.min(consumedPoints, limiter.points)}, Requested ${count}. Please try again in ${formatDuration(msBeforeNext)}.`,
      {
        type: 'rate_limit_error',
        code: 'rate_limit_exceeded',
        retryAfterSeconds: Math.max(msBeforeNext, 1) / 1000,
      },
    );
  }
}

/** "12ms", "1s", "7.66s", "6m0s", as OpenAI writes them. */
export function formatDuration(ms: number): string {
  const whole = Math.ceil(ms);
  if (whole < 1000) return `${whole}ms`;
  const seconds = Math.ceil(whole / 10) / 100;
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes}m${Math.round(seconds - minutes * 60)}s`;
}
