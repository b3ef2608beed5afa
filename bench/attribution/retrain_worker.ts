/**
 * Goes on with retrains, one after the other, each kept as soon as it is done:
 *
 *     node retrain_worker.js '{"gguf": FILE, "classes": N, "recipe": {...}, "threads": N, "tasks": [...], "folder": FOLDER}'
 *
 * Appends a line to retrains.jsonl of the folder for each, and says its id. At the lowest priority.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Recipe } from '../../plugins/training/recipe.ts';
import { fidelityData } from './data.ts';
import type { Retrain } from './protocol.ts';
import {
  checkpointFile,
  createTrainer,
  lossesOf,
  retrainedIn,
  retrainsFile,
  train,
  writeCheckpoint,
  yieldToOthers,
} from './trainings.ts';

export interface RetrainJob {
  gguf: string;
  classes: number;
  recipe: Recipe;
  threads: number;
  tasks: Retrain[];
  folder: string;
}

yieldToOthers();
const { gguf, classes, recipe, threads, tasks, folder } = JSON.parse(process.argv[2]!) as RetrainJob;
const data = await fidelityData(gguf, classes);
const done = retrainedIn(folder);
const trainer = await createTrainer(gguf, threads);
for (const task of tasks) {
  if (done.has(task.id)) continue;
  const wrong = new Set(task.mislabelled);
  const examples = task.examples.map((i) => (wrong.has(i) ? data.mislabelled[i] : data.train.examples[i])!);
  await train(trainer, recipe, examples, (epoch, rate) => {
    if (task.checkpoints) writeCheckpoint(checkpointFile(folder, task.id, epoch), trainer, rate);
  });
  const losses = await lossesOf(trainer, data.queries.examples);
  // Begun on a line of its own: the last may have been cut.
  appendFileSync(join(folder, retrainsFile), `\n${JSON.stringify({ ...task, losses })}\n`);
  process.stdout.write(`${task.id}\n`);
}
process.exit(0);
