/**
 * Training, whose process and whose server are killed (SIGKILL) at random moments. The job goes on from its last checkpoint, and
 * all that it leaves is what it leaves undisturbed, byte for byte. Fifty kills in the full form.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { full } from './engine.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { writeTinyBase } from './tiny_base.ts';
import {
  checkpointsOfJob,
  createJob,
  leftBy,
  retrieveJob,
  trainersOf,
  uploadExamples,
} from './training_jobs.ts';

const kills = full ? 50 : 3;
/** Of one job, which is then let be: there is to be an end. */
const killsOfJob = 5;

const home = mkdtempSync(join(tmpdir(), 'colophon-training-kill-'));
let server: ServerProcess;
const start = async () => {
  server = await startServerProcess(home, {
    model: join(home, 'base'),
    config: { plugins: { native: { demo_adapters: false } } },
  });
};
beforeAll(() => {
  writeTinyBase(join(home, 'base'));
  return start();
});
afterAll(async () => {
  await server.kill();
  rmSync(home, { recursive: true, force: true });
});

/** The job as it is now. One that rests, since its process was killed too often at one step, is resumed. */
async function look(id: string) {
  const job = await retrieveJob(server, id);
  const fine = /^(validating_files|queued|running|paused|succeeded)$/;
  expect(job.status, JSON.stringify(job.error)).toMatch(fine);
  if (job.status === 'paused') {
    expect(job.error).toMatchObject({ code: 'training_failed' });
    await server.ask('POST', `/v1/fine_tuning/jobs/${id}/resume`);
  }
  return job;
}

async function succeeded(id: string): Promise<void> {
  while ((await look(id)).status !== 'succeeded') await sleep(50);
}

const left = (id: string) => leftBy(server, join(home, 'data', 'training'), id);

test(`${kills} kills: the job goes on, and leaves what it leaves undisturbed`, async () => {
  const files = await uploadExamples(server);
  const begun = performance.now();
  const whole = await createJob(server, files);
  await succeeded(whole);
  const took = performance.now() - begun;
  const undisturbed = await left(whole);
  expect(undisturbed.checkpoints).toHaveLength(checkpointsOfJob);
  expect(undisturbed.hashes.join()).toContain('adapter/adapter_model.safetensors ');

  for (let killed = 0; killed < kills; ) {
    const id = await createJob(server, files);
    for (let ofJob = 0; ofJob < killsOfJob && killed < kills; ofJob++) {
      await sleep(took * Math.random());
      if ((await look(id)).status === 'succeeded') break;
      killed++;
      const [trainer] = trainersOf(home);
      if (killed % 2 === 0 && trainer !== undefined) {
        process.kill(trainer, 'SIGKILL');
      } else {
        await server.kill();
        await start();
        // Its old process does not go on beside the new one.
        if (trainer !== undefined) await expect.poll(() => trainersOf(home)).not.toContain(trainer);
      }
    }
    await succeeded(id);
    expect(await left(id)).toEqual(undisturbed);
  }
}, 3_600_000);
