/** Puts a process that helps serving, and is in no hurry, behind it. */
import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/**
 * Serving goes first. On Linux a priority is a thread's own and those made later have their maker's; the pool of threads that native
 * work runs on may be there already, as modules are read on it.
 */
export function yieldToServing(): void {
  const threads = process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : [process.pid];
  for (const thread of threads) setPriority(thread, constants.priority.PRIORITY_LOW);
}
