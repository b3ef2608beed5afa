/** Trainings in a process of their own, as far as no earlier run did them. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adapterConfigOf } from '../../plugins/training/inputs.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { say } from '../lib/main.ts';
import type { Retrain } from './protocol.ts';
import type { RetrainJob } from './retrain_worker.ts';
import { checkpointFile, createTrainer, type Retrained, readCheckpoint, retrainedIn } from './trainings.ts';

/** Seconds that one may take: it has what nobody else on the machine wants. */
const limit = 7200;

export type Setting = Omit<RetrainJob, 'tasks'>;

/** In the tasks' order. */
export async function retrained(setting: Setting, tasks: Retrain[]): Promise<Retrained[]> {
  const { folder } = setting;
  const missing = tasks.filter(({ id }) => !retrainedIn(folder).has(id));
  if (missing.length > 0) {
    const job: RetrainJob = { ...setting, tasks: missing };
    const worker = join(root, 'dist', 'bench', 'attribution', 'retrain_worker.js');
    const child = new Child(process.execPath, [worker, JSON.stringify(job)]);
    try {
      for (let done = 1; done <= missing.length; done++)
        say(`Trained ${await child.line(limit)} (${done}/${missing.length}).`);
      await child.exited;
    } finally {
      child.end();
    }
  }
  const found = retrainedIn(folder);
  return tasks.map(({ id }) => found.get(id)!);
}

/** The folder of the adapter that a training with checkpoints ended with, as PEFT has it. */
export async function adapterOf({ gguf, recipe, threads, folder }: Setting, id: string): Promise<string> {
  const adapter = join(folder, `adapter-${id}`);
  const config = join(adapter, 'adapter_config.json');
  if (existsSync(config)) return adapter;
  mkdirSync(adapter, { recursive: true });
  const trainer = await createTrainer(gguf, threads);
  trainer.setValues(readCheckpoint(checkpointFile(folder, id, recipe.epochs)).values);
  await trainer.save(join(adapter, 'adapter_model.safetensors'));
  // Written last: where it is, all is there.
  writeFileSync(config, JSON.stringify(adapterConfigOf(gguf, recipe), undefined, 2));
  return adapter;
}
