/** What databases and disks say, as errors for clients. */
import { ColophonError } from '../../../gateway/contract/index.ts';

const noRoom = ['ENOSPC', 'EDQUOT', 'SQLITE_FULL', '53100'];
/** Of sockets, of a SQLite that another process holds, and SQLSTATE classes: connection, resources, operator (a shutdown). */
const notThere = /^(E(CONN|PIPE|HOST|NET|AI_|NOTFOUND|TIMEDOUT)|UND_ERR|SQLITE_BUSY|SQLITE_LOCKED|08|53|57)/;

/** The error for clients; one that is a client's already, or that nobody foresaw, as it is. */
export function storeError(error: unknown): unknown {
  if (error instanceof ColophonError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  if (noRoom.includes(code)) {
    return new ColophonError(
      'The disk of the Datanet store is full, so that nothing was stored. Delete what is no longer needed, or ask the operator for room.',
      { type: 'service_unavailable_error', status: 507, code: 'disk_full', cause: error },
    );
  }
  if (
    !notThere.test(code) &&
    !/Connection terminated|timeout exceeded when trying to connect/i.test(error.message)
  ) {
    return error;
  }
  return new ColophonError(`The Datanet store cannot be reached now (${error.message}). Try again.`, {
    type: 'service_unavailable_error',
    code: 'store_unavailable',
    cause: error,
  });
}

/** Whether it will do once a store or a disk is back. */
export function isOutage(error: unknown): boolean {
  return error instanceof ColophonError && ['disk_full', 'store_unavailable'].includes(error.code ?? '');
}

/** Its own or that of its cause: fetch hides a socket's error behind its own. */
function codeOf(error: Error): string {
  const { code, cause } = error as NodeJS.ErrnoException & { cause?: unknown };
  if (typeof code === 'string') return code;
  return cause instanceof Error ? codeOf(cause) : '';
}
