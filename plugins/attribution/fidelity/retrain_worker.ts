/**
 * The process that trains on parts of the data, one after the other: a RetrainJob comes on stdin. Each training is a line of
 * retrains.jsonl as soon as it is done, and told on stdout. At a low priority; it ends with whoever started it.
 */
import { writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import type { NativeTrainer } from '../../../native/binding/index.ts';
import { yieldToServing } from '../../../native/binding/yield.ts';
import { endWithParent } from '../../training/end_with_parent.ts';
import { recipeTrainer } from '../../training/recipe_trainer.ts';
import { decodeJob, type RetrainData, type RetrainJob, type RetrainMessage } from './retrain_job.ts';
import { keepRetrained } from './retrains.ts';
import { mean } from './statistics.ts';
import type { Retrain } from './subsets.ts';
import { suspicionsOf } from './suspicions.ts';
import { checkpointFile, lossesOf, train, writeCheckpoint } from './trainings.ts';

const tell = (message: RetrainMessage) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** All else goes first: this process leads a session of its own, which is weighed as one against the others (sched(7)). */
function yieldToAll(): void {
  try {
    writeFileSync('/proc/self/autogroup', '19');
  } catch {
    // This kernel groups no sessions.
  }
}

/** Seconds that a token of a step takes, of the first examples. */
async function pace(trainer: NativeTrainer, { recipe }: RetrainJob, data: RetrainData): Promise<number> {
  const some = data.train.slice(0, recipe.batch_size);
  const begin = performance.now();
  await trainer.gradient(some, 1);
  const tokens = some.reduce((sum, example) => sum + example.tokens.length, 0);
  return (performance.now() - begin) / 1000 / tokens;
}

async function done(trainer: NativeTrainer, job: RetrainJob, data: RetrainData, task: Retrain) {
  const wrong = new Set(task.mislabelled);
  const examples = task.examples.map((i) => (wrong.has(i) ? data.swapped[i]! : data.train[i]!));
  await train({ ...job, trainer }, examples, (epoch, rate) => {
    if (task.checkpoints) writeCheckpoint(checkpointFile(job.folder, task.id, epoch), trainer, rate);
  });
  return {
    ...task,
    losses: await lossesOf(trainer, data.queries),
    ...(task.suspicions ? { found: await suspicionsOf(trainer, examples) } : {}),
  };
}

async function main(): Promise<void> {
  yieldToServing();
  endWithParent();
  const { job, data } = decodeJob(await buffer(process.stdin));
  if (job.background) yieldToAll();
  const trainer = await recipeTrainer(job);
  tell({ type: 'pace', secondsPerToken: await pace(trainer, job, data) });
  for (const task of job.tasks) {
    const retrained = await done(trainer, job, data, task);
    keepRetrained(job.folder, retrained);
    tell({ type: 'trained', id: task.id, loss: mean(retrained.losses) });
  }
}

main().then(
  () => process.exit(0),
  (error: Error) => {
    tell({ type: 'failed', sentence: error.message });
    process.exit(1);
  },
);
