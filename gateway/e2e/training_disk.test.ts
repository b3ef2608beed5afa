/**
 * Training on a disk that becomes full, a real one of its own: the job rests, says so, and goes on when there is room; all that it
 * leaves is what it leaves undisturbed, byte for byte.
 */
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { full } from './engine.ts';
import { hasSmallDisks, type ServerProcess, seenBy, startServerProcess } from './server_process.ts';
import { writeTinyBase } from './tiny_base.ts';
import {
  askForJob,
  createJob,
  holdTrainer,
  type JobFiles,
  leftBy,
  retrieveJob,
  uploadExamples,
} from './training_jobs.ts';

const times = full ? 20 : 3;
const home = mkdtempSync(join(tmpdir(), 'colophon-training-disk-'));
const possible = await hasSmallDisks(home);
if (!possible)
  console.warn('This system lets no process mount a disk of its own, so that full disks are not tested.');

let server: ServerProcess;
let files: JobFiles;
beforeAll(async () => {
  if (!possible) return;
  server = await startServerProcess(home, {
    model: writeTinyBase(join(home, 'base')),
    config: { plugins: { native: { demo_adapters: false } } },
    diskBytes: 64 * 2 ** 20,
  });
  files = await uploadExamples(server);
});
afterAll(async () => {
  await server?.kill();
  rmSync(home, { recursive: true, force: true });
});

const data = () => seenBy(server, join(home, 'data'));

const pageBytes = 4096;

/** Leaves no room on the disk, or so many pages. */
function fill(pages = 0): void {
  const ballast = join(data(), 'ballast');
  const piece = Buffer.alloc(pageBytes, 1);
  try {
    for (;;) appendFileSync(ballast, piece);
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  }
  truncateSync(ballast, statSync(ballast).size - pages * pageBytes);
}
const makeRoom = () => rmSync(join(data(), 'ballast'));

async function until(id: string, statuses: string[]) {
  for (;;) {
    const job = await retrieveJob(server, id);
    if (statuses.includes(job.status)) return job;
    expect(job.status, JSON.stringify(job.error)).toMatch(/^(validating_files|queued|running)$/);
    await sleep(20);
  }
}
const resume = (id: string) => server.ask('POST', `/v1/fine_tuning/jobs/${id}/resume`);
const left = (id: string) => leftBy(server, join(data(), 'training'), id);

test.skipIf(!possible)('a job is refused where there is no room for it, and leaves nothing', async () => {
  const jobs = async () => (await server.ask('GET', '/v1/fine_tuning/jobs')).body.data;
  const folders = () => readdirSync(join(data(), 'training'));
  const before = [await jobs(), folders()];
  fill();
  const refused = await askForJob(server, files);
  makeRoom();
  expect(refused).toMatchObject({
    status: 507,
    body: { error: { code: 'disk_full', message: expect.stringContaining('create the job again') } },
  });
  expect([await jobs(), folders()]).toEqual(before);
});

test.skipIf(!possible)(
  'a job whose files cannot be kept rests, and reads them when there is room',
  async () => {
    // Enough for its record and its events.
    fill(5);
    const id = await createJob(server, files);
    expect((await until(id, ['paused'])).error).toMatchObject({ code: 'disk_full' });
    makeRoom();
    expect((await resume(id)).body.error).toBeNull();
    await until(id, ['succeeded']);
  },
);

test.skipIf(!possible)(
  'a job whose disk becomes full rests, and goes on to the same bytes',
  async () => {
    const begun = performance.now();
    const whole = await createJob(server, files);
    await until(whole, ['succeeded']);
    const took = performance.now() - begun;
    const undisturbed = await left(whole);
    for (let i = 0; i < times; i++) {
      const id = await createJob(server, files);
      // The first one for certain before its first checkpoint, the others at random.
      const held = i === 0 ? await holdTrainer(home) : undefined;
      if (held === undefined) await sleep(took * Math.random());
      fill();
      if (held !== undefined) process.kill(held, 'SIGCONT');
      const job = await until(id, ['paused', 'succeeded']);
      if (i === 0) expect(job.status).toBe('paused');
      if (job.status === 'paused') {
        expect(job.error).toMatchObject({
          code: 'disk_full',
          message: expect.stringMatching(
            /^The disk is full: .*Make room, then resume the job; nothing is lost\.$/,
          ),
        });
        // Not yet.
        await resume(id);
        expect((await until(id, ['paused'])).error).toMatchObject({ code: 'disk_full' });
        makeRoom();
        expect((await resume(id)).body.error).toBeNull();
        await until(id, ['succeeded']);
      } else {
        // It had written all that it writes.
        makeRoom();
      }
      expect(await left(id)).toEqual(undisturbed);
      const events = (await server.ask('GET', `/v1/fine_tuning/jobs/${id}/events?limit=100`)).body.data;
      expect(events[0].message).toBe('The job has successfully completed');
    }
  },
  3_600_000,
);
