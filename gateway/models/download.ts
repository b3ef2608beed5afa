import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ModelError, onDisk } from './errors.ts';
import { type HttpClient, HttpStatusError, isPassing, networkError, statusError } from './http.ts';
import type { Progress } from './progress.ts';

export interface DownloadOptions {
  url: string;
  headers?: Record<string, string>;
  /** Where the finished file goes; `FILE.part` stands beside it until then. */
  file: string;
  /** Hex digest that the content must have. */
  sha256?: string;
  /** For the progress bar. */
  label: string;
  client: HttpClient;
  progress: Progress;
  signal?: AbortSignal;
}

/** What is known of a part: it is continued only from the same address with the same validator. */
interface PartNote {
  url: string;
  /** Strong ETag or Last-Modified of the answer that began it. */
  validator: string;
}

/** How many more attempts a download gets when each of them brought something. */
const PATIENCE = 100;

/**
 * Downloads to `file`. A cut connection is continued where it stopped (Range and If-Range), now or by the next call;
 * the finished content is hashed, checked and only then renamed into place. Returns its SHA-256.
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { file, client } = options;
  await onDisk(mkdir(dirname(file), { recursive: true }), dirname(file));
  let failures = 0;
  for (let attempt = 1; attempt <= PATIENCE; attempt++) {
    const before = await sizeOf(`${file}.part`);
    const outcome = await attemptDownload(options);
    if (outcome.done) return finish(options, outcome.digest);
    failures = (await sizeOf(`${file}.part`)) > before ? 1 : failures + 1;
    if (failures >= client.attempts) throw outcome.error;
    options.progress.note(`${outcome.error.message.split(': ')[0]}; trying again.`);
    await client.pause(failures);
  }
  throw new ModelError(
    'network',
    `The download of ${options.label} was cut ${PATIENCE} times. Try again on a steadier network.`,
  );
}

type Outcome = { done: true; digest: string } | { done: false; error: ModelError };

async function attemptDownload(options: DownloadOptions): Promise<Outcome> {
  const part = `${options.file}.part`;
  const note = await readNote(part);
  const have = note?.url === withoutQuery(options.url) ? await sizeOf(part) : 0;
  const resume: Record<string, string> =
    have > 0 ? { range: `bytes=${have}-`, 'if-range': note!.validator } : {};
  try {
    const response = await options.client.get(options.url, { ...options.headers, ...resume });
    const continued = response.status === 206 && rangeStart(response.headers['content-range']) === have;
    if (response.status !== 200 && !continued) {
      await response.body.dump();
      if (response.status === 416 || response.status === 206) {
        await rm(part, { force: true }); // What is there does not fit what the server has: from the start.
        return { done: false, error: statusError(response) };
      }
      if (!isPassing(response.status)) throw statusError(response);
      return { done: false, error: statusError(response) };
    }
    const start = continued ? have : 0;
    const length = response.headers['content-length'];
    const total = length === undefined ? undefined : start + Number(length);
    if (total !== undefined) await requireSpace(options.file, total - start);
    if (!continued) await onDisk(writeNote(part, options.url, response.headers), part);

    const hash = createHash('sha256');
    if (continued) for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer);
    const handle = await onDisk(open(part, continued ? 'r+' : 'w'), part);
    const bar = options.progress.begin(options.label, total, start);
    let at = start;
    try {
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        await onDisk(handle.write(chunk, 0, chunk.length, at), part);
        hash.update(chunk);
        at += chunk.length;
        bar.advance(chunk.length);
      }
      await onDisk(handle.sync(), part);
    } finally {
      bar.end();
      await handle.close();
    }
    if (total === undefined || at === total) return { done: true, digest: hash.digest('hex') };
    return { done: false, error: networkError({ code: 'UND_ERR_SOCKET' }, new URL(response.url)) };
  } catch (error) {
    const failure = networkError(error, new URL(options.url), options.signal);
    if (failure.kind !== 'network' || failure instanceof HttpStatusError) throw failure;
    return { done: false, error: failure };
  }
}

/** Checks the hash of the finished part and puts it in place. */
async function finish(options: DownloadOptions, digest: string): Promise<string> {
  const part = `${options.file}.part`;
  if (options.sha256 !== undefined && digest !== options.sha256) {
    await rm(part, { force: true });
    await rm(noteOf(part), { force: true });
    throw wrongHash(options.label, options.sha256, digest);
  }
  await onDisk(rename(part, options.file), options.file);
  await rm(noteOf(part), { force: true });
  return digest;
}

export function wrongHash(label: string, expected: string, got: string): ModelError {
  return new ModelError(
    'integrity',
    `${label} has the wrong content: its SHA-256 should be ${expected} and is ${got}. The file was removed; try again, and if it stays wrong, do not trust the place it comes from.`,
  );
}

/** Says so before the disk is full rather than after. */
export async function requireSpace(file: string, bytes: number): Promise<void> {
  const disk = await statfs(dirname(file)).catch(() => undefined);
  if (!disk) return;
  const free = disk.bavail * disk.bsize;
  if (free >= bytes) return;
  throw new ModelError(
    'disk',
    `${dirname(file)} has ${megabytes(free)} free and ${megabytes(bytes)} are needed. Free some space, or set COLOPHON_HOME to a folder on a larger disk.`,
  );
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
const noteOf = (part: string) => `${part}.json`;
/** Signed addresses change their query from one redirect to the next, the thing itself does not. */
const withoutQuery = (url: string) => url.split(/[?#]/)[0]!;

function rangeStart(header: string | undefined): number | undefined {
  const found = /^bytes (\d+)-/.exec(header ?? '');
  return found ? Number(found[1]) : undefined;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

async function readNote(part: string): Promise<PartNote | undefined> {
  try {
    const note = JSON.parse(await readFile(noteOf(part), 'utf8')) as PartNote;
    return note.validator ? note : undefined;
  } catch {
    return undefined;
  }
}

async function writeNote(
  part: string,
  url: string,
  headers: Record<string, string | undefined>,
): Promise<void> {
  const etag = headers.etag;
  const validator = etag && !etag.startsWith('W/') ? etag : (headers['last-modified'] ?? '');
  await writeFile(noteOf(part), JSON.stringify({ url: withoutQuery(url), validator } satisfies PartNote));
}
