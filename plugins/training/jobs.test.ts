import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ColophonError, type Host } from '../../gateway/contract/index.ts';
import type { JobRecord } from './job.ts';
import { Jobs } from './jobs.ts';
import { newJob } from './new_job.ts';
import { type Recipe, recipeSchema } from './recipe.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-jobs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const host = (find: Host['files']['find'] = async () => undefined) =>
  ({
    log: { error() {} },
    files: { find },
    all: () => [
      {
        model: async () => ({ parent: null, maxModelLength: 100 }),
        weights: async () => ({ format: 'gguf', path: '' }),
      },
    ],
  }) as unknown as Host;

const jobsOf = (of: Host) =>
  new Jobs({ host: of, folder, threads: 1, activationBytes: 0, concurrency: 1, unfinished: 9 });

/** A job that waits, as a server left it. Its process fails at once: nothing is there for it. */
function waiting(id: string, number: number, priority: number): void {
  const job = {
    id,
    status: 'queued',
    priority,
    training_file: 'datanet:farm@1',
    validation_file: null,
    recipe: Value.Create(recipeSchema) as Recipe,
  };
  const record = { job, tenant: 'default', operator: true, number, body: {}, checkpoints: [] };
  mkdirSync(join(folder, id));
  writeFileSync(join(folder, id, 'record.json'), JSON.stringify(record as unknown as JobRecord));
}

/** Ids of jobs in the order in which they end. */
async function ends(jobs: Jobs, ids: string[]): Promise<string[]> {
  const order: string[] = [];
  const all = new Promise<void>((resolve) => {
    for (const id of ids)
      jobs.told.on(id, ({ message }) => {
        if (message === 'The job failed.' && order.push(id) === ids.length) resolve();
      });
  });
  jobs.start();
  await all;
  await jobs.stop();
  return order;
}

test('after a restart jobs go by priority, then as they came', async () => {
  waiting('later', 3, 5);
  waiting('b', 2, 0);
  waiting('a', 1, 0);
  waiting('urgent', 4, -5);
  expect(await ends(jobsOf(host()), ['later', 'a', 'b', 'urgent'])).toEqual(['urgent', 'a', 'b', 'later']);
});

test('a job that waits does not start once a contribution of its snapshot was withdrawn, and says why', async () => {
  waiting('late', 1, 0);
  const sentence = "The contribution 'c1' was withdrawn.";
  const jobs = jobsOf(
    host(async () => {
      throw new ColophonError(sentence, { type: 'conflict_error', code: 'contribution_withdrawn' });
    }),
  );
  expect(await ends(jobs, ['late'])).toEqual(['late']);
  const { job } = jobs.get('default', 'late');
  expect(job.error).toMatchObject({ code: 'contribution_withdrawn', message: sentence });
  expect(jobs.events('default', 'late').map(({ message }) => message)).toContain(sentence);
});

test('a priority is no lower than the key allows', async () => {
  const body = { model: 'base', training_file: 'file-1', priority: -3 };
  const of = host(async (_, id) => ({ id }) as never);
  const caller = { tenant: 'bank', operator: false };
  expect((await newJob(of, { ...caller, minPriority: -3 }, body)).job.priority).toBe(-3);
  await expect(newJob(of, { ...caller, minPriority: 0 }, body)).rejects.toMatchObject({
    code: 'priority_not_allowed',
    message: "'priority' is -3, but your key allows 0 or more; lower values go first.",
  });
});

test('jobs of one suffix have names of their own', async () => {
  const of = host(async (_, id) => ({ id }) as never);
  const { modelName } = await import('./job.ts');
  const body = { model: 'base', training_file: 'file-1', suffix: 'same' };
  const names = [1, 2].map(async (number) =>
    modelName({ ...(await newJob(of, { tenant: 't', operator: true }, body)), number }),
  );
  const [first, second] = await Promise.all(names);
  expect(first).toMatch(/^ft:base:t:same:/);
  expect(second).not.toBe(first);
});
