/** Who a request comes from: its tenant, among whom the engine is shared fairly, and what it may ask for. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ConfigError, type ConfigValues } from '../config/index.ts';
import { ColophonError, type GenerateRequest } from '../contract/index.ts';
import type { Limits } from './rate_limits.ts';

export interface Caller {
  tenant: string;
  /** Which of the tenant's keys it has, by a name that is no secret: `default`, or what its digest begins with. */
  key: string;
  /** The earliest class that it may ask for; lower values go first. */
  minPriority: number;
  /** Whether its prefixes are kept from other tenants'. */
  isolated: boolean;
  /** What it asks for goes no earlier than this. */
  priorityAtLeast?: number;
  /** Those of its key, where the key has some. `key`: which one. */
  limits?: Limits & { key: number };
  /** No rate limits: it asks for work that was taken within other limits. */
  unlimited?: boolean;
}

/** Who has the one key of the server, or needs none: its operator. */
export const operator: Caller = {
  tenant: 'default',
  key: 'default',
  minPriority: Number.NEGATIVE_INFINITY,
  isolated: false,
};

/** Whose a key is; undefined where it is nobody's. Without any key there is nothing to look up. Throws ConfigError. */
export function callersByKey(
  access: Pick<ConfigValues['access'], 'api_key' | 'keys' | 'limits'>,
): ((given: string) => Caller | undefined) | undefined {
  const known: Array<{ digest: Buffer; caller: Caller }> = [];
  const add = (key: string, caller: Caller, name: string) => {
    const digest = digestOf(key);
    if (known.some((other) => other.digest.equals(digest)))
      throw new ConfigError(`${name} is the same as another key; each key belongs to one tenant.`);
    known.push({ digest, caller });
  };
  if (access.api_key !== undefined) add(access.api_key, operator, 'access.api_key');
  for (const [index, { key, tenant, min_priority, isolate, limits }] of access.keys.entries()) {
    const caller = {
      tenant,
      key: `key_${digestOf(key).toString('hex', 0, 4)}`,
      minPriority: min_priority,
      isolated: isolate,
      ...(limits ? { limits: { ...access.limits, ...limits, key: index } } : {}),
    };
    add(key, caller, `access.keys[${index}].key`);
  }
  if (known.length === 0) return undefined;
  // Digests, all of them: the time tells neither a key's length, nor how much of a guess was right, nor whose it is.
  return (given) => {
    const digest = digestOf(given);
    let found: Caller | undefined;
    for (const { digest: expected, caller } of known) if (timingSafeEqual(digest, expected)) found = caller;
    return found;
  };
}

/** What a request's caller adds to its generations. Throws ColophonError where it may not ask for that class. */
export function generateAs(
  caller: Caller,
  body: { priority?: number | null; cache_salt?: string | null },
): Pick<GenerateRequest, 'tenant' | 'priority' | 'cacheSalt'> {
  const priority = body.priority ?? 0;
  if (priority < caller.minPriority) {
    throw new ColophonError(
      `'priority' is ${priority}, but your key allows ${caller.minPriority} or more; lower values go first.`,
      { type: 'permission_error', param: 'priority', code: 'priority_not_allowed' },
    );
  }
  const salt = body.cache_salt ?? '';
  const atLeast = caller.priorityAtLeast ?? Number.NEGATIVE_INFINITY;
  const cacheSalt = caller.isolated ? ownSalt(caller.tenant, salt) : salt;
  const said: Pick<GenerateRequest, 'tenant' | 'priority' | 'cacheSalt'> = {
    tenant: caller.tenant,
    priority: Math.max(priority, atLeast),
  };
  if (cacheSalt) said.cacheSalt = cacheSalt;
  return said;
}

/** Known to nobody, so that no other tenant can name an isolated one's salt. The prefix cache does not outlive it. */
const secret = randomBytes(32);

function ownSalt(tenant: string, salt: string): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify([tenant, salt]))
    .digest('base64');
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
