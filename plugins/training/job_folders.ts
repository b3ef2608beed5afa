/** Jobs on disk: a folder each, whose record.json is whole or not there and whose events.jsonl only grows. */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobEvent, JobRecord } from './job.ts';

export class JobFolders {
  readonly #folder: string;
  /** The last save of each job under way: one after the other, each with the newest. */
  readonly #saving = new Map<string, Promise<void>>();

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
  }

  of(id: string): string {
    return join(this.#folder, id);
  }

  /** Every job, in the order in which they came. */
  read(): JobRecord[] {
    return readdirSync(this.#folder)
      .map((id) => join(this.#folder, id, 'record.json'))
      .filter((path) => existsSync(path))
      .map((path) => JSON.parse(readFileSync(path, 'utf8')) as JobRecord)
      .sort((a, b) => a.number - b.number);
  }

  /** Durable when it resolves. */
  save(record: JobRecord): Promise<void> {
    const { id } = record.job;
    const folder = this.of(id);
    mkdirSync(folder, { recursive: true });
    const before = this.#saving.get(id) ?? Promise.resolve();
    const save = before
      .catch(() => {})
      .then(() => writeWhole(join(folder, 'record.json'), JSON.stringify(record)));
    this.#saving.set(id, save);
    const done = () => {
      if (this.#saving.get(id) === save) this.#saving.delete(id);
    };
    save.then(done, done);
    return save;
  }

  /** With all that is in it. */
  remove(id: string): Promise<void> {
    return rm(this.of(id), { recursive: true, force: true });
  }

  /** At once, so that events lie in the order in which they came. Ends the line before, which a full disk or a crash may have cut. */
  addEvent(id: string, event: JobEvent): void {
    appendFileSync(join(this.of(id), 'events.jsonl'), `\n${JSON.stringify(event)}`);
  }

  /** Oldest first; a line that was cut is left out. */
  events(id: string): JobEvent[] {
    const path = join(this.of(id), 'events.jsonl');
    if (!existsSync(path)) return [];
    const events: JobEvent[] = [];
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      try {
        if (line !== '') events.push(JSON.parse(line) as JobEvent);
      } catch {}
    }
    return events;
  }
}

/** A file that is whole and durable, or not there. */
export async function writeWhole(
  path: string,
  content: string | Uint8Array | AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const part = `${path}.part`;
  try {
    const file = await open(part, 'w');
    try {
      await writeFile(file, content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** Whether what failed would not have with more room on the disk. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'disk_full';
}
