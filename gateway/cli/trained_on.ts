/** What a trained adapter was made of, as far as it is on this machine: its data, its base, and how a job would train there. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { RecipeFile } from '../../plugins/training/adapter.ts';
import type { DataRecord, Source } from '../../plugins/training/inputs.ts';
import type { Config } from '../config/index.ts';
import type { BaseWeights } from '../contract/index.ts';
import { configuredBase } from '../models/configure.ts';
import { resolveModel } from '../models/index.ts';
import { TextModel } from '../text/text_model.ts';
import { nativeSettings } from './engine.ts';
import { CliError } from './failure.ts';
import type { Output } from './output.ts';
import { terminalProgress } from './progress.ts';

/** Files that are given in the place of what the recipe names. */
export interface DataFlags {
  trainingFile?: string;
  validationFile?: string;
}

export interface TrainedOn {
  training: Source;
  validation: Source | undefined;
  text: TextModel;
  weights: BaseWeights;
  threads: number;
  activationBytes: number;
  close(): Promise<void>;
}

/** Throws CliError where the data are not on this machine. */
export async function trainedOn(
  made: RecipeFile,
  config: Config,
  flags: DataFlags,
  output: Output,
): Promise<TrainedOn> {
  const [{ jobThreads, trainingConfig }, { readBase }] = await Promise.all([
    import('../../plugins/training/index.ts'),
    import('../../plugins/backends/native/index.ts'),
  ]);
  const { source } = configuredBase(await nativeSettings(config));
  const model = await resolveModel(source, { cache: config.paths.cache, progress: terminalProgress(output) });
  const base = await readBase(model.path);
  const settings = config.plugin('training', trainingConfig);
  const { training, validation } = made.data;
  const closing: Array<() => Promise<void>> = [];
  const close = async () => {
    for (const each of closing) await each();
  };
  try {
    return {
      training: await sourceOf(training, flags.trainingFile, config, closing),
      validation: validation ? await sourceOf(validation, flags.validationFile, config, closing) : undefined,
      text: new TextModel(await base.text()),
      weights: base.model as BaseWeights,
      threads: jobThreads(settings),
      activationBytes: settings.activation_bytes,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A given file, or what the recipe names: an uploaded file or a Datanet's snapshot in the data folder. */
async function sourceOf(
  { file }: DataRecord,
  given: string | undefined,
  config: Config,
  closing: Array<() => Promise<void>>,
): Promise<Source> {
  const path = given ?? join(config.paths.data, 'files', file.replace(/[^A-Za-z0-9_-]/g, '-'));
  if (given !== undefined || !file.startsWith('datanet:')) {
    if (existsSync(path)) return { id: file, content: () => createReadStream(path) };
    throw new CliError(
      given === undefined
        ? `The file ${file} that it was trained on is no longer in ${config.paths.data}. Give it with --training-file FILE and --validation-file FILE.`
        : `There is no file ${given}.`,
    );
  }
  const [{ openDatanets }, { snapshotFiles }] = await Promise.all([
    import('../../plugins/datanet/offline.ts'),
    import('../../plugins/datanet/snapshot_files.ts'),
  ]);
  const { store, blobs, close } = await openDatanets(config);
  closing.push(close);
  const found = await snapshotFiles(async () => ({ store, blobs })).find(file, {
    tenant: '',
    operator: true,
  });
  return { ...found, id: file };
}
