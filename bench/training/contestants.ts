/** Trainings in processes of their own, ours and PEFT's, with one recipe: the same examples, batches and rates. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainingExample } from '../../native/binding/index.ts';
import { encodeItems } from '../../plugins/training/data_file.ts';
import { adapterConfigOf } from '../../plugins/training/inputs.ts';
import type { Recipe } from '../../plugins/training/recipe.ts';
import { batchOf, learningRate, planOf } from '../../plugins/training/schedule.ts';
import type { WorkerJob } from '../../plugins/training/worker.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { peftEnvironment } from '../lib/peft_environment.ts';

export interface Task {
  gguf: string;
  layers: number;
  threads: number;
  recipe: Recipe;
  train: TrainingExample[];
  /** Of the task alone; what an earlier run left in it is gone on with. */
  folder: string;
}

export type PeftMode = 'padded' | 'packed' | 'compiled';

export interface Pace {
  tokensPerSecond: number;
  peakMegabytes: number;
}

/** Seconds that a step may take, the first ones with all that is read and compiled. */
const limit = 1800;

/** The job's own process, as the fine-tuning API starts it. */
export function startOurs({ gguf, layers, threads, recipe, train, folder }: Task): Child {
  mkdirSync(folder, { recursive: true });
  const job: WorkerJob = {
    weights: { format: 'gguf', path: gguf },
    layers,
    recipe,
    source: 'train.bin',
    threads,
    activationBytes: 2 ** 30,
    adapterConfig: adapterConfigOf('base', recipe),
  };
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job));
  writeFileSync(join(folder, 'train.bin'), encodeItems(train));
  for (const name of ['validation.bin', 'general.bin']) writeFileSync(join(folder, name), '');
  return new Child(process.execPath, [join(root, 'dist', 'plugins', 'training', 'worker.js'), folder]);
}

function startPeft(
  { gguf, threads, recipe, train, folder }: Task,
  mode: PeftMode,
  output: string | null,
): Child {
  mkdirSync(folder, { recursive: true });
  const plan = planOf(recipe, train.length);
  const data = join(folder, 'train.bin');
  writeFileSync(data, encodeItems(train));
  const config = {
    model: gguf,
    data,
    threads,
    mode,
    output,
    seed: recipe.seed,
    rank: recipe.rank,
    alpha: recipe.alpha,
    clip: recipe.clip,
    targets: adapterConfigOf('base', recipe).target_modules,
    steps: Array.from({ length: plan.steps }, (_, i) => ({
      rate: learningRate(recipe, recipe.learning_rate as number, i + 1, plan.steps),
      examples: batchOf(plan, recipe, i + 1),
    })),
  };
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  return new Child(peftEnvironment.tool('python'), [join(root, 'bench', 'training', 'peft_train.py'), file], {
    env: { OMP_NUM_THREADS: String(threads), TOKENIZERS_PARALLELISM: 'false', HF_HUB_OFFLINE: '1' },
  });
}

/** Tokens a second after `warmup` steps, and the most memory of the whole process. */
export async function paceOf(task: Task, mode: 'ours' | PeftMode, warmup: number): Promise<Pace> {
  rmSync(task.folder, { recursive: true, force: true });
  const child = mode === 'ours' ? startOurs(task) : startPeft(task, mode, null);
  const plan = planOf(task.recipe, task.train.length);
  const tokensOf = (step: number) =>
    batchOf(plan, task.recipe, step).reduce((sum, index) => sum + task.train[index]!.tokens.length, 0);
  let from = 0;
  let tokens = 0;
  let peakMegabytes = 0;
  try {
    for (;;) {
      const line = JSON.parse(await child.line(limit));
      if (line.type === 'failed') throw new Error(line.sentence);
      const now = performance.now();
      peakMegabytes = Math.max(peakMegabytes, peakOf(child.pid));
      if (line.step > warmup) tokens += tokensOf(line.step);
      if (line.step === warmup) from = now;
      if (line.step === plan.steps) return { tokensPerSecond: tokens / ((now - from) / 1000), peakMegabytes };
    }
  } finally {
    child.end();
    await child.exited;
  }
}

/** Most that a process had in memory so far, megabytes; 0 where it is gone. */
function peakOf(pid: number): number {
  try {
    return (
      (Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024) / 1e6
    );
  } catch {
    return 0;
  }
}

/** Trains to the end where no earlier run did, and returns the adapter's folder. */
export async function trained(task: Task, who: 'ours' | 'peft'): Promise<string> {
  const steps = planOf(task.recipe, task.train.length).steps;
  const adapter =
    who === 'ours' ? join(task.folder, 'checkpoints', `step-${steps}`) : join(task.folder, 'adapter');
  const done = join(task.folder, 'trained');
  if (existsSync(done)) return adapter;
  const child = who === 'ours' ? startOurs(task) : startPeft(task, 'packed', adapter);
  try {
    for (;;) {
      const line = JSON.parse(await child.line(limit));
      if (line.type === 'failed') throw new Error(line.sentence);
      if (line.type === 'done' || (who === 'peft' && line.step === steps)) break;
    }
    if ((await child.exited) !== 0) throw new Error(`The training failed. ${child.lastWords()}`);
  } finally {
    child.end();
  }
  writeFileSync(done, '');
  return adapter;
}
