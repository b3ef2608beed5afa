import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecipeFile } from '../../../plugins/training/adapter.ts';
import type { Config } from '../../config/index.ts';
import { adapterFolder } from '../adapter_folder.ts';
import { exitCodes } from '../failure.ts';
import type { Output } from '../output.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';
import { trainView } from '../train_view.ts';
import { type DataFlags, trainedOn } from '../trained_on.ts';

export interface VerifyFlags extends ServeFlags, DataFlags {
  retrain?: boolean;
  receipt?: string;
  keys?: string;
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
    const { checkChain, checkFidelity, checkReceiptOf } = await import('./verify_chain.ts');
    const chains = [await checkChain(folder, readRecipe(folder), config), await checkFidelity(folder)];
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
  const { retrain } = await import('../../../plugins/training/verify.ts');
  const of = await trainedOn(made, config, flags, output);
  const view = trainView(output);
  const left = new AbortController();
  const onInterrupt = () => left.abort();
  process.once('SIGINT', onInterrupt);
  output.say(`Training ${made.name} again from ${made.data.training.file}.`);
  try {
    return await retrain({
      ...of,
      folder: work,
      made,
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
    await of.close();
  }
}
