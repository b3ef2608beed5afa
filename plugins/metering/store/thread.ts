/**
 * The thread that owns the database. One message is one transaction, durable when it is answered. After a fault that leaves unknown what
 * the disk has, nothing more is done.
 */
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { faultOf } from './fault.ts';
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
  if ('apply' in asked) return rooms!.apply(asked.apply);
  const { call, given } = asked;
  return call === 'open' ? open() : rooms!.calls[call as keyof Rooms['calls']](given as never);
}

// No token waits for it: where all cores compute, it has what those leave. On Linux a priority is a thread's own.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_LOW);

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
