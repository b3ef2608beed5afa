import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Value } from 'typebox/value';
import { expect, test } from 'vitest';
import { encodeItems } from './data_file.ts';
import type { Recipe } from './recipe.ts';
import { recipeSchema } from './recipe.ts';
import type { WorkerJob } from './worker.ts';

const worker = join(
  dirname(fileURLToPath(import.meta.url)),
  '..',
  '..',
  'dist',
  'plugins',
  'training',
  'worker.js',
);

function folderOfJob(change: Partial<WorkerJob> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-worker-'));
  const example = {
    tokens: Int32Array.from({ length: 64 }, (_, i) => i + 100),
    weights: Float32Array.from({ length: 64 }, (_, i) => (i === 0 ? 0 : 1)),
  };
  const recipe: Recipe = { ...(Value.Create(recipeSchema) as Recipe), epochs: 50, rank: 2, targets: ['q'] };
  const job: WorkerJob = {
    weights: { format: 'gguf', path: process.env.COLOPHON_TEST_MODEL! },
    layers: 30,
    recipe,
    source: 'file-1',
    threads: 1,
    activationBytes: 0,
    adapterConfig: {},
    ...change,
  };
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job));
  writeFileSync(join(folder, 'train.bin'), encodeItems(Array(64).fill(example)));
  for (const name of ['validation.bin', 'general.bin']) writeFileSync(join(folder, name), '');
  return folder;
}

const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test('a job whose server was killed ends with it', async () => {
  const folder = folderOfJob();
  // A server of one line: it starts the job's process, says its number, and is killed.
  const script = `const { spawn } = require('child_process'); const c = spawn(process.execPath, [${JSON.stringify(worker)}, ${JSON.stringify(folder)}]); c.stdout.once('data', () => console.log(c.pid)); c.stdout.resume(); setInterval(() => {}, 1000);`;
  const server = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = Number(
    await new Promise((resolve) => server.stdout.once('data', (data) => resolve(String(data)))),
  );
  expect(alive(pid)).toBe(true);
  server.kill('SIGKILL');
  await expect.poll(() => alive(pid)).toBe(false);
  rmSync(folder, { recursive: true, force: true });
});

test.runIf(process.platform === 'linux')(
  'every thread of a job stands behind those of the server',
  async () => {
    const folder = folderOfJob({ threads: 2 });
    const job = spawn(process.execPath, [worker, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    const over = new Promise((resolve) => job.once('exit', resolve));
    // It says a line when a step is done, and goes on.
    await new Promise((resolve) => job.stdout.once('data', resolve));
    const nice = readdirSync(`/proc/${job.pid}/task`).map((thread) => {
      const [, fields] = readFileSync(`/proc/${job.pid}/task/${thread}/stat`, 'utf8').split(') ');
      return Number(fields!.split(' ')[16]);
    });
    job.kill('SIGKILL');
    await over;
    expect(new Set(nice)).toEqual(new Set([19]));
    rmSync(folder, { recursive: true, force: true });
  },
);

test('a job that cannot begin says why in its last line', () => {
  const folder = folderOfJob({ weights: { format: 'gguf', path: '/nowhere.gguf' } });
  const { stdout, status } = spawnSync(process.execPath, [worker, folder], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({
    type: 'failed',
    sentence: expect.stringContaining('/nowhere.gguf'),
  });
  rmSync(folder, { recursive: true, force: true });
});
