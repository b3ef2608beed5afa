import { createReadStream, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecipeFile } from '../../../plugins/training/adapter.ts';
import type { DataRecord, Source } from '../../../plugins/training/inputs.ts';
import type { Config } from '../../config/index.ts';
import type { BaseWeights } from '../../contract/index.ts';
import { configuredBase } from '../../models/configure.ts';
import { resolveModel } from '../../models/index.ts';
import { TextModel } from '../../text/text_model.ts';
import { adapterFolder } from '../adapter_folder.ts';
import { nativeSettings } from '../engine.ts';
import { CliError, exitCodes } from '../failure.ts';
import type { Output } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';
import { trainView } from '../train_view.ts';

export interface VerifyFlags extends ServeFlags {
  retrain?: boolean;
  receipt?: string;
  keys?: string;
  trainingFile?: string;
  validationFile?: string;
}

/**
 * Checks a trained adapter: its files, and whom they come from, as far as that is on this machine; with --receipt that it gave an
 * answer, with --retrain that its recipe gives its files. Asks no server. Exit code 1 where not.
 */
export async function verifyAdapter(name: string, flags: VerifyFlags, output: Output): Promise<number> {
  const { differences, readRecipe, wrongFiles } = await import('../../../plugins/training/verify.ts');
  const config = configOf(flags);
  const folder = await adapterFolder(name, config);
  let faults = await wrongFiles(folder);
  const links: string[] = [];
  if (faults.length === 0) {
    const { checkChain, checkReceiptOf } = await import('./verify_chain.ts');
    const chains = [await checkChain(folder, readRecipe(folder), config)];
    if (flags.receipt !== undefined)
      chains.unshift(await checkReceiptOf(flags.receipt, flags.keys, folder, config));
    faults = chains.flatMap((chain) => chain.faults);
    links.push(...chains.flatMap((chain) => chain.links));
  }
  const retrained = faults.length === 0 && (flags.retrain ?? false);
  if (retrained) {
    const made = readRecipe(folder);
    const work = await mkdtemp(join(tmpdir(), 'colophon-verify-'));
    try {
      const again = await trainAgain(made, work, config, flags, output);
      faults = 'adapter' in again ? await differences(folder, again.adapter) : again.faults;
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  const ok = faults.length === 0;
  const good = retrained
    ? 'was trained again: every byte is the same'
    : 'has the files that its training left';
  output.result(
    { name, path: folder, ok, retrained, links, differences: faults },
    ok
      ? [...links, `${name} ${good}.`].join('\n')
      : [`${name} is not what it says:`, ...faults.map((one) => `  ${one}`)].join('\n'),
  );
  if (ok && !retrained) output.next(`colophon verify adapter ${name} --retrain`);
  return ok ? exitCodes.ok : exitCodes.failure;
}

async function trainAgain(
  made: RecipeFile,
  work: string,
  config: Config,
  flags: VerifyFlags,
  output: Output,
): Promise<{ adapter: string } | { faults: string[] }> {
  const [{ retrain }, { jobThreads, trainingConfig }, { readBase }] = await Promise.all([
    import('../../../plugins/training/verify.ts'),
    import('../../../plugins/training/index.ts'),
    import('../../../plugins/backends/native/index.ts'),
  ]);
  const { source } = configuredBase(await nativeSettings(config));
  const model = await resolveModel(source, { cache: config.paths.cache, progress: terminalProgress(output) });
  const base = await readBase(model.path);
  const settings = config.plugin('training', trainingConfig);
  const { training, validation } = made.data;
  const closing: Array<() => Promise<void>> = [];
  const view = trainView(output);
  const left = new AbortController();
  const onInterrupt = () => left.abort();
  process.once('SIGINT', onInterrupt);
  output.say(`Training ${made.name} again from ${training.file}.`);
  try {
    return await retrain({
      folder: work,
      made,
      training: await sourceOf(training, flags.trainingFile, config, closing),
      validation: validation ? await sourceOf(validation, flags.validationFile, config, closing) : undefined,
      text: new TextModel(await base.text()),
      weights: base.model as BaseWeights,
      threads: jobThreads(settings),
      activationBytes: settings.activation_bytes,
      signal: left.signal,
      onProgress: (message) => {
        if (message.type !== 'progress' || message.step === 0) return;
        const { row, step, steps } = message;
        const data = {
          step,
          total_steps: steps,
          ...(row ? { train_loss: row.train.loss } : {}),
          ...(row?.validation ? { valid_loss: row.validation.loss } : {}),
        };
        view.event({ level: 'info', message: `Step ${step}/${steps}`, data });
      },
    });
  } finally {
    view.end();
    process.off('SIGINT', onInterrupt);
    for (const close of closing) await close();
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
    import('../../../plugins/datanet/offline.ts'),
    import('../../../plugins/datanet/snapshot_files.ts'),
  ]);
  const { store, blobs, close } = await openDatanets(config);
  closing.push(close);
  const found = await snapshotFiles(async () => ({ store, blobs })).find(file, {
    tenant: '',
    operator: true,
  });
  return { ...found, id: file };
}
