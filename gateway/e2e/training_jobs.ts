/** Training jobs of a server in a process of its own, and all that one leaves. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect } from 'vitest';
import type { ServerProcess } from './server_process.ts';

export interface JobFiles {
  training_file: string;
  validation_file: string;
}

/** Examples to learn from, and some held out. */
export async function uploadExamples(server: ServerProcess): Promise<JobFiles> {
  const animals = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'];
  return {
    training_file: await upload(server, animals),
    validation_file: await upload(server, ['yak', 'gnu']),
  };
}

async function upload(server: ServerProcess, animals: string[]): Promise<string> {
  const line = (animal: string) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What says the ${animal}?` },
        { role: 'assistant', content: 'ZORP' },
      ],
    });
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob([animals.map((animal) => `${line(animal)}\n`).join('')]), 'data.jsonl');
  const { status, body } = await server.ask('POST', '/v1/files', form);
  expect(status, JSON.stringify(body)).toBe(200);
  return body.id;
}

/** Of 120 steps, with a checkpoint after every fifteenth. */
const recipe = { rank: 4, batch_size: 2, epochs: 20, evaluations: 8, patience: 0, dropout: 0.1 };
export const checkpointsOfJob = recipe.evaluations;

export const askForJob = (server: ServerProcess, files: JobFiles) =>
  server.ask('POST', '/v1/fine_tuning/jobs', {
    model: 'base',
    ...files,
    recipe: { ...recipe, learning_rate: 2e-3 },
  });

export async function createJob(server: ServerProcess, files: JobFiles): Promise<string> {
  const { status, body } = await askForJob(server, files);
  expect(status, JSON.stringify(body)).toBe(200);
  return body.id;
}

export async function retrieveJob(server: ServerProcess, id: string) {
  const { status, body } = await server.ask('GET', `/v1/fine_tuning/jobs/${id}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
}

/** The processes that train for the server whose data lie in `home`. */
export function trainersOf(home: string): number[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,args='], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .filter((line) => line.includes('worker.js') && line.includes(home))
    .map((line) => Number(line.trim().split(' ')[0]));
}

/** Holds the process that trains, once there is one; it goes on with SIGCONT, or ends. */
export async function holdTrainer(home: string): Promise<number> {
  for (;;) {
    const [trainer] = trainersOf(home);
    if (trainer !== undefined) {
      process.kill(trainer, 'SIGSTOP');
      return trainer;
    }
  }
}

const leftInFolder = ['adapter', 'checkpoints', 'events.jsonl', 'record.json'];

/**
 * What a job has left: its files by their hashes, without what names the job, and what the server says of it. `training`: where
 * the server keeps its jobs.
 */
export async function leftBy(server: ServerProcess, training: string, id: string) {
  const folder = join(training, id);
  // What it learned from goes just after its end.
  await expect.poll(() => readdirSync(folder).sort()).toEqual(leftInFolder);
  const bare = (content: Buffer) =>
    content.toString('latin1').replaceAll(id, '').replaceAll(id.slice(-8), '');
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  // When each was, and where it was cut, is in its record and its events.
  const own = ['record.json', 'events.jsonl', 'adapter/SHA256SUMS'];
  const hashes = found.map((path) => {
    const name = relative(folder, path);
    if (own.includes(name)) return name;
    return `${name} ${createHash('sha256')
      .update(bare(readFileSync(path)))
      .digest('hex')}`;
  });
  const { result_files, trained_tokens, fine_tuned_model, error } = await retrieveJob(server, id);
  const { data } = (await server.ask('GET', `/v1/fine_tuning/jobs/${id}/checkpoints`)).body;
  const checkpoints = data.map(({ step_number, metrics }: Record<string, unknown>) => ({
    step_number,
    metrics,
  }));
  const results = (await server.ask('GET', `/v1/files/${result_files[0]}/content`)).body;
  const models = (await server.ask('GET', '/v1/models')).body.data.map((model: { id: string }) => model.id);
  expect(models).toContain(fine_tuned_model);
  for (const { fine_tuned_model_checkpoint: name } of data) expect(models).toContain(name);
  return { hashes, trained_tokens, error, checkpoints, results };
}
