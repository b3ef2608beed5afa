import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adapterFolder } from '../../../gateway/cli/adapter_folder.ts';
import { nativeSettings } from '../../../gateway/cli/engine.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import { terminalProgress } from '../../../gateway/cli/progress.ts';
import { configOf, type ServeFlags } from '../../../gateway/cli/server_flags.ts';
import { withLocalModel } from '../../../gateway/models/configure.ts';
import type { Finding } from '../ledger/finding.ts';
import { saysCorrection } from '../ledger/receipt_file.ts';
import {
  type VerifiedCorrection,
  verifyCorrectionFile,
  verifyReceiptFile,
} from '../ledger/verify_receipt.ts';
import type { Correction } from '../receipts/correction.ts';
import type { Receipt } from '../receipts/receipt.ts';
import type { Opening } from '../store/answers.ts';
import { rerunOn } from '../verify/rerun_host.ts';
import { knownKeys, readGiven, showFindings } from './findings.ts';

export interface VerifyReceiptFlags extends ServeFlags {
  keys?: string;
  checkpoint?: string;
  ledger?: string;
  rerun?: boolean;
  opening?: string;
  adapter?: string;
}

/** Checks a receipt or a correction, and with --rerun that its tokens, shares and fee come out the same. Exit code 1 where not. */
export async function verifyReceipt(
  file: string,
  flags: VerifyReceiptFlags,
  output: Output,
): Promise<number> {
  const bytes = readGiven(file);
  const checks = {
    keys: knownKeys(flags.keys, () => configOf(flags)),
    ...(flags.checkpoint === undefined ? {} : { checkpoint: readGiven(flags.checkpoint).toString() }),
    ...(flags.ledger === undefined ? {} : { proof: { folder: flags.ledger } }),
  };
  const isCorrection = saysCorrection(bytes);
  const { receipt, findings, correction }: VerifiedCorrection = isCorrection
    ? verifyCorrectionFile(bytes, checks)
    : verifyReceiptFile(bytes, checks);
  if (flags.rerun && receipt) findings.push(...(await runAgain({ receipt, correction }, flags, output)));
  return showFindings(isCorrection ? 'The correction' : 'The receipt', findings, output);
}

async function runAgain(
  { receipt, correction }: { receipt: Receipt; correction: Correction | undefined },
  flags: VerifyReceiptFlags,
  output: Output,
): Promise<Finding[]> {
  if (flags.opening === undefined) {
    throw new CliError(
      `A receipt has only hashes of what was said. Give what opens them: curl SERVER/v1/receipts/${receipt.id}/opening > FILE, then --opening FILE`,
      exitCodes.usage,
    );
  }
  const opening = readOpening(flags.opening, receipt);
  const own = configOf(flags);
  const name = receipt.model.adapter?.name;
  const adapter = flags.adapter ?? (name === undefined ? undefined : await adapterFolder(name, own));
  // A folder of its own: a running server has its data to itself.
  const home = await mkdtemp(join(tmpdir(), 'colophon-verify-'));
  try {
    const { precision } = receipt.engine;
    const config = configOf({ ...flags, home, ...(precision ? { precision } : {}) });
    const settings = await nativeSettings(own);
    const { config: local } = await withLocalModel(
      { ...config, paths: { ...config.paths, cache: own.paths.cache } },
      settings,
      { progress: terminalProgress(output) },
    );
    output.say(`Running ${receipt.id} again on ${receipt.model.name} ...`);
    const quiet = forChecks(local);
    return await rerunOn(
      { ...quiet, paths: { ...quiet.paths, cache: join(home, 'cache') } },
      { receipt, correction, opening, adapter },
    );
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** The engine of a check makes no adapters, and looks for none; gradients have the whole machine. */
function forChecks(config: ReturnType<typeof configOf>): ReturnType<typeof configOf> {
  return {
    ...config,
    plugin: (plugin, schema) => {
      const section = config.plugin(plugin, schema);
      if (plugin === 'attribution') return { ...(section as object), budget: 1, sample: 0 } as typeof section;
      if (plugin !== 'native') return section;
      return {
        ...(section as object),
        demo_adapters: false,
        adapter_dirs: [],
        pinned_adapters: [],
      } as typeof section;
    },
  };
}

function readOpening(path: string, receipt: Receipt): Opening {
  const wrong = (why: string) =>
    new CliError(`${path} is not the opening of ${receipt.id}: ${why}.`, exitCodes.usage);
  let read: Partial<Opening & { format: string; receipt: string }>;
  try {
    read = JSON.parse(readGiven(path).toString());
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw wrong('it is not JSON');
  }
  const { format, salt, prompts, outputs, grammars } = read ?? {};
  const lists = (value: unknown): value is number[][] =>
    Array.isArray(value) &&
    value.every(
      (ids) => Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 31),
    );
  if (format !== 'colophon-opening-v1') throw wrong(`its "format" is ${JSON.stringify(format)}`);
  if (read.receipt !== receipt.id) throw wrong(`it opens ${JSON.stringify(read.receipt)}`);
  if (typeof salt !== 'string' || !/^[0-9a-f]{64}$/.test(salt))
    throw wrong('its "salt" is not 64 hex digits');
  if (!lists(prompts) || !lists(outputs))
    throw wrong('its "prompts" and "outputs" are not lists of token ids');
  if (!Array.isArray(grammars) || !grammars.every((text) => typeof text === 'string'))
    throw wrong('its "grammars" are not a list of texts');
  return { salt, prompts, outputs, grammars };
}
