/**
 * The thread that owns the store. One message is one transaction, durable when it is answered; what waits meanwhile comes together in
 * the next. After a fault that leaves unknown what the disk has, nothing more is done.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { isFull, mustStop } from '../durable_files.ts';
import { LedgerRefused } from '../ledger/refused.ts';
import type { Answered, Asked, StoreFault, Told } from './protocol.ts';
import { openRooms, type Rooms, type RoomsOptions } from './rooms.ts';

let broken: StoreFault | undefined;
let rooms: Rooms | undefined;

const tell = (told: Told['told'], sentence: string) =>
  parentPort!.postMessage({ told, sentence } satisfies Told);

function open(): Rooms['opened'] {
  rooms = openRooms(workerData as RoomsOptions, {
    warn: (sentence) => tell('warning', sentence),
    failed(error) {
      broken = faultOf(error);
      tell('broken', broken.sentence);
    },
  });
  return rooms.opened;
}

function answer(asked: Asked): unknown {
  if (broken) throw broken;
  if ('group' in asked) return rooms!.write(asked.group);
  const { call, given } = asked;
  return call === 'open' ? open() : rooms!.calls[call as keyof Rooms['calls']](given as never);
}

parentPort!.on('message', async (asked: Asked) => {
  let answered: Answered;
  try {
    // Not awaited where there is nothing to wait for: what comes next is not to overtake it.
    const result = answer(asked);
    answered = { id: asked.id, result: result instanceof Promise ? await result : result };
  } catch (error) {
    const fault = faultOf(error);
    if (fault.kind === 'broken') broken = fault;
    answered = { id: asked.id, fault };
  }
  parentPort!.postMessage(answered);
});

/** Whatever SQLite says but for a full disk leaves unknown what is durable: a sync that failed cannot be tried again. */
function faultOf(error: unknown): StoreFault {
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
