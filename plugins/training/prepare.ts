/** From a job's files to what its process is given. */
import { ColophonError, type Host } from '../../gateway/contract/index.ts';
import { trainableBase } from './bases.ts';
import { readData, writeInputs } from './inputs.ts';
import { type JobRecord, showHyperparameters } from './job.ts';
import type { Journal } from './journal.ts';
import { recipeOf } from './settings.ts';

interface Options {
  host: Host;
  threads: number;
  activationBytes: number;
}

/** Reads the files into tokens, which is all that the job's process needs. Throws ColophonError, naming the line. */
export async function prepare(
  record: JobRecord,
  folder: string,
  options: Options,
  journal: Journal,
): Promise<void> {
  const { host, threads, activationBytes } = options;
  const { job, body } = record;
  const { backend, longest } = await trainableBase(host, job.model);
  const text = await host.text(job.model);
  journal.tell(record, 'info', `Validating training file: ${job.training_file}`);
  const read = async (id: string, what: string, least?: number, originsTo?: string) => {
    const file = await host.files.find(record, id);
    if (!file)
      throw new ColophonError(`The file '${id}' is gone.`, {
        type: 'not_found_error',
        param: `${what}_file`,
        code: 'file_not_found',
      });
    return readData(file, { text, recipe: job.recipe, what, ...(least ? { least } : {}) }, originsTo);
  };
  const train = await read(job.training_file, 'training', undefined, folder);
  const validation = job.validation_file ? await read(job.validation_file, 'validation', 1) : undefined;
  if (job.status !== 'validating_files') return;
  record.data = { training: train.record, validation: validation?.record ?? null };
  job.recipe = recipeOf(body, train.items.length, longest);
  const { n_epochs, batch_size, beta } = job.hyperparameters;
  showHyperparameters(job, {
    n_epochs: n_epochs === 'auto' ? job.recipe.epochs : n_epochs,
    batch_size: batch_size === 'auto' ? job.recipe.batch_size : batch_size,
    ...(beta === undefined ? {} : { beta: beta === 'auto' ? job.recipe.beta : beta }),
  });
  await writeInputs(folder, {
    train: train.items,
    validation: validation?.items ?? [],
    text,
    weights: (await backend.weights!(job.model))!,
    base: job.model,
    recipe: job.recipe,
    source: job.training_file,
    threads,
    activationBytes,
  });
}
