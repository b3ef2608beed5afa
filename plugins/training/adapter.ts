/** What a job leaves: PEFT's files, who taught it, the recipe, every step, the model card, and SHA-256 of them all. */
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { attributionFiles } from '../../gateway/contract/index.ts';
import { native } from '../../native/binding/index.ts';
import type { DataRecord } from './inputs.ts';
import { writeWhole } from './job_folders.ts';
import type { Recipe } from './recipe.ts';
import { bestStep, checkpointFolder, type RunState } from './run.ts';
import type { Sweep } from './sweep.ts';

export interface Origin {
  /** The adapter's name. */
  name: string;
  job: string;
  /** The base's name. */
  base: string;
  recipe: Recipe;
  data: { training: DataRecord; validation: DataRecord | null };
}

/** recipe.json: all that the bytes come of. */
export interface RecipeFile extends Origin {
  format: 1;
  /** Of the base's weights. */
  base_hash: string;
  /** How the learning rate was chosen; null: it was given. */
  sweep: Sweep | null;
  /** Version of the engine. */
  engine: string;
  /** Whose checkpoint this is. */
  step: number;
}

const alwaysThere = [
  'README.md',
  'adapter_config.json',
  'adapter_model.safetensors',
  'recipe.json',
  'training_log.jsonl',
];
export const sumsFile = 'SHA256SUMS';

/** Fills `folder`/adapter with the best checkpoint of a run that has ended there, and gives its path. */
export async function leaveAdapter(folder: string, origin: Origin, state: RunState): Promise<string> {
  const step = bestStep(state);
  const adapter = join(folder, 'adapter');
  rmSync(adapter, { recursive: true, force: true });
  mkdirSync(adapter);
  cpSync(checkpointFolder(folder, step), adapter, { recursive: true });
  const recipe: RecipeFile = {
    format: 1,
    name: origin.name,
    job: origin.job,
    base: origin.base,
    base_hash: state.base,
    recipe: { ...origin.recipe, learning_rate: state.learningRate },
    sweep: state.sweep ?? null,
    data: origin.data,
    engine: native().machine().version,
    step,
  };
  const write = (name: string, content: string) => writeWhole(join(adapter, name), content);
  await write('training_log.jsonl', state.log.map((row) => `${JSON.stringify(row)}\n`).join(''));
  await write('recipe.json', `${JSON.stringify(recipe, null, 2)}\n`);
  await write('README.md', modelCard(recipe, state));
  for (const name of attributionFiles)
    if (existsSync(join(folder, name))) renameSync(join(folder, name), join(adapter, name));
  const sums: string[] = [];
  for (const name of filesOf(adapter)) sums.push(`${await digestOf(join(adapter, name))}  ${name}\n`);
  await write(sumsFile, sums.join(''));
  return adapter;
}

/** Those that a hash is kept of, in its order: there or not but for those that say who taught an adapter, which not all have. */
export function filesOf(adapter: string): string[] {
  return [...alwaysThere, ...attributionFiles.filter((name) => existsSync(join(adapter, name)))].sort();
}

/** SHA-256, hex. */
export function digestOf(path: string): Promise<string> {
  return native().hashFile(path);
}

function modelCard(
  { name, job, base, recipe, sweep, data, step, engine }: RecipeFile,
  state: RunState,
): string {
  const best = state.log.find((row) => row.step === step);
  const loss = (value: { loss: number } | undefined) => value?.loss.toFixed(4) ?? 'not measured';
  const source = ({ file, snapshot, examples, sha256 }: DataRecord) =>
    `\`${file}\`, ${examples} examples, ${snapshot ? `snapshot \`${snapshot}\`` : `SHA-256 \`${sha256}\``}`;
  return `---
base_model: ${base}
library_name: peft
---

# ${name}

A LoRA of rank ${recipe.rank} on ${base}, trained by Colophon (engine ${engine}) in the job ${job}: ${state.step} steps, ${state.trainedTokens} tokens${
    state.ended === 'stopped_early' ? ', stopped early' : ''
  }. This is the checkpoint of step ${step}. The learning rate is ${recipe.learning_rate}${sweep ? ', chosen by a sweep' : ''}.

- learned from: ${source(data.training)}
- held out: ${data.validation ? source(data.validation) : 'nothing'}
- attributed to: ${taughtBy(data.training)}

| loss (nats a token) | before | this checkpoint |
|---|--:|--:|
| held-out examples | ${loss(state.before.validation)} | ${loss(best?.validation)} |
| general text | ${loss(state.before.general)} | ${loss(best?.general)} |

Every setting is in recipe.json, every step in training_log.jsonl. The same data, recipe and engine version give the same bytes:
\`colophon verify adapter ${name} --retrain\`.
`;
}

function taughtBy({ contributors }: DataRecord): string {
  if (contributors === undefined) return 'nobody, as the file does not say who gave its examples';
  return `${contributors} contributor(s), who are named in corpus.jsonl, a line each example`;
}
