/** Who waits for an answer: its signal fires when the client goes away before all of it is written. */
import { getEventListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Services } from './services.ts';

/** Of connections between two answers: Node 20 takes as long to make a signal as Fastify to find a route. */
const kept = new WeakMap<Socket, AbortController>();

export interface Client {
  /** Aborted by the client's leaving, by a server that cannot wait, or by what fails for it. */
  control: AbortController;
  /** The answer ended: nothing of it is told any more. */
  release(): void;
}

export function clientOf({ answers }: Pick<Services, 'answers'>, raw: ServerResponse): Client {
  const { socket } = raw;
  const control = (socket && kept.get(socket)) ?? new AbortController();
  if (socket) kept.delete(socket);
  const leave = () => {
    if (!raw.writableFinished) control.abort();
  };
  raw.once('close', leave);
  if (raw.destroyed) control.abort();
  answers.add(control);
  return {
    control,
    release() {
      raw.off('close', leave);
      answers.delete(control);
      const { signal } = control;
      // Whoever still listens must not hear of another answer's client.
      if (socket && !signal.aborted && getEventListeners(signal, 'abort').length === 0)
        kept.set(socket, control);
    },
  };
}
