/** Where accounts are paid: EVM addresses, set by the operator, with all that were set before. */
import { keccak_256 } from '@noble/hashes/sha3';
import type { Database, Statement } from 'better-sqlite3';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { checkAccount } from './accounts.ts';

export interface AddressSetting {
  account: string;
  /** With its checksum; null: it is paid nowhere any more. */
  address: string | null;
  /** Unix milliseconds. */
  since: number;
  /** Tenant of whoever set it. */
  by: string;
}

/** An address of 40 digits of hex, whatever their case, with its checksum (EIP-55). */
export function checksummed(address: string): string {
  const digits = address.slice(2).toLowerCase();
  const hash = keccak_256(digits);
  const cased = Array.from(digits, (digit, at) => {
    const nibble = (hash[at >> 1]! >> (at % 2 === 0 ? 4 : 0)) & 15;
    return nibble >= 8 ? digit.toUpperCase() : digit;
  });
  return `0x${cased.join('')}`;
}

/** What is wrong with an address, as a sentence; null where it is one with its checksum. */
export function addressFault(address: string): string | null {
  const shown = `'${address.slice(0, 100)}'`;
  if (!/^0x[0-9a-fA-F]{40}$/.test(address))
    return `${shown} is no EVM address. Write 0x and 40 digits of hex.`;
  if (/^0x0{40}$/.test(address)) return `${shown} is nobody's: what is paid there is lost. Write another.`;
  const right = checksummed(address);
  if (address === right) return null;
  const digits = address.slice(2);
  if (digits === digits.toLowerCase() || digits === digits.toUpperCase())
    return `${shown} has no checksum. If each of its digits is right, write '${right}'.`;
  return `The checksum (EIP-55) of ${shown} is wrong, so that a digit of it may be. Copy it anew from where it was made.`;
}

export class Addresses {
  readonly #db: Database;
  readonly #last: Statement<[string]>;

  constructor(db: Database) {
    this.#db = db;
    this.#last = db
      .prepare<[string]>('SELECT address FROM payout_addresses WHERE account = ? ORDER BY seq DESC LIMIT 1')
      .pluck();
  }

  /** From the next close on. Throws ColophonError for what is no account or no address with its checksum. */
  set({ account, address, since, by }: AddressSetting): void {
    checkAccount(account);
    const fault = address === null ? null : addressFault(address);
    if (fault !== null) throw new ColophonError(fault, { param: 'address', code: 'invalid_value' });
    this.#db
      .prepare('INSERT INTO payout_addresses (account, address, since, set_by) VALUES (?, ?, ?, ?)')
      .run(account, address, since, by);
  }

  of(account: string): string | null {
    const last = this.#last.get(account) as string | null | undefined;
    return last ?? null;
  }

  /** The newest first. */
  history(account: string, most: number): AddressSetting[] {
    return this.#db
      .prepare(
        'SELECT account, address, since, set_by AS "by" FROM payout_addresses WHERE account = ? ORDER BY seq DESC LIMIT ?',
      )
      .all(account, most) as AddressSetting[];
  }
}
