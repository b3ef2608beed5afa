/** Names of those who are owed money. */
import { ColophonError } from '../../../gateway/contract/index.ts';

export const accounts = {
  platform: 'platform',
  /** What nobody could be named for. */
  pool: 'pool',
  owner: (name: string) => `owner:${name}`,
  stakers: (model: string) => `stakers:${model}`,
  contributor: (id: string) => `contributor:${id}`,
};

/** Longest name of an account, in UTF-16 code units. */
export const longestAccount = 1000;

/** Throws ColophonError where receipts never name an account so. */
export function checkAccount(account: string): void {
  if (/^(platform|pool|(owner|stakers|contributor):.+)$/s.test(account) && account.length <= longestAccount)
    return;
  throw new ColophonError(
    `'${account.slice(0, 100)}' is no account. Write platform, pool, owner:NAME, stakers:MODEL or contributor:ID.`,
    { param: 'account', code: 'invalid_value' },
  );
}
