/** A process that somebody started and waits for. */

/** Whoever was killed starts it again: the old process must not write beside the new one. */
export function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
  }, 200).unref();
}
