/** What an error means for the store. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import { isFull, mustStop } from '../durable_files.ts';
import { LedgerRefused } from '../ledger/refused.ts';
import type { StoreFault } from './protocol.ts';

/** Whatever SQLite says but for a full disk leaves unknown what is durable: a sync that failed cannot be tried again. */
export function faultOf(error: unknown): StoreFault {
  if (error !== null && typeof error === 'object' && 'kind' in error) return error as StoreFault;
  if (isFull(error)) {
    return { kind: 'full', sentence: 'There is no room on the disk for the record of what is answered.' };
  }
  const { code, message } = error as NodeJS.ErrnoException;
  if (mustStop(error) || code?.startsWith('SQLITE_') || error instanceof LedgerRefused)
    return {
      kind: 'broken',
      sentence: `What is answered cannot be recorded: ${message}${code ? ` (${code})` : ''}.`,
    };
  if (error instanceof ColophonError) {
    const { type, code: told, param } = error;
    return { kind: 'refused', sentence: message, error: { type, code: told, param } };
  }
  return { kind: 'refused', sentence: message };
}

/** Of a record that could not be written: but for a full disk nobody knows then what the disk has of it. */
export function faultOfRecord(error: unknown): StoreFault {
  const fault = faultOf(error);
  if (fault.kind !== 'refused') return fault;
  return { kind: 'broken', sentence: `What is answered cannot be recorded: ${fault.sentence}.` };
}

/** What whoever asked is told. */
export function refusalOf({ kind, sentence, error }: StoreFault): ColophonError {
  if (kind === 'refused') return new ColophonError(sentence, error ?? { type: 'server_error' });
  return new ColophonError(`${sentence} Nothing is answered that cannot be metered; try again later.`, {
    type: 'service_unavailable_error',
    code: 'metering_unavailable',
    retryAfterSeconds: 5,
  });
}
