import { open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** A lock whose holder has not shown itself for this long is taken to be dead (its machine or container went away). */
const STALE_MS = 30_000;
const BEAT_MS = 5_000;
const POLL_MS = 200;

/**
 * Runs `work` while holding `file` as a lock among processes. The holder touches the file every few seconds, so that one
 * that was killed keeps nobody waiting: on this host its process id tells at once, elsewhere the file's age.
 */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  options: { waiting?: () => void; signal?: AbortSignal } = {},
): Promise<T> {
  let told = false;
  for (;;) {
    options.signal?.throwIfAborted();
    if (await take(file)) break;
    if (await removeAbandoned(file)) continue;
    if (!told) options.waiting?.();
    told = true;
    await sleep(POLL_MS, undefined, { signal: options.signal });
  }
  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {});
  }, BEAT_MS);
  beat.unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    await rm(file, { force: true });
  }
}

async function take(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx');
    await handle.writeFile(`${hostname()} ${process.pid}`);
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes a dead holder's lock away. Several may try at once: a living lock taken by mistake is put back. */
async function removeAbandoned(file: string): Promise<boolean> {
  const aside = `${file}.${process.pid}`;
  try {
    const [holder, { mtimeMs }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
    const [host, pid] = holder.split(' ');
    const dead = host === hostname() && pid !== undefined && !alive(Number(pid));
    if (!dead && Date.now() - mtimeMs <= STALE_MS) return false;
    await rename(file, aside);
    if ((await readFile(aside, 'utf8')) === holder) await rm(aside);
    else await rename(aside, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true; // Released while we looked.
    throw error;
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
