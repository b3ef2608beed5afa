/** `colophon payouts verify`: checks a file with nothing but what is in it. */
import { readFile, stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { Value } from 'typebox/value';
import { CliError, exitCodes } from '../../../../gateway/cli/failure.ts';
import type { Output } from '../../../../gateway/cli/output.ts';
import { type PayoutProof, payoutFault } from '../distribution.ts';
import { Epoch, epochFault } from '../epoch.ts';

/** A statement of a hundred thousand accounts has some 25 MB. */
const mostBytes = 2 ** 28;

export async function verify(file: string, flags: { root?: string }, output: Output): Promise<number> {
  const given = await readJson(file);
  const { object, format } = Object(given) as { object?: unknown; format?: unknown };
  if (object === 'payout.epoch') return verifyEpoch(file, given as KeptEpoch, flags.root, output);
  if (format !== 'colophon-payout-v1')
    throw new CliError(
      `${file} is neither a proof (colophon payouts proof) nor an epoch (colophon payouts show EPOCH --json).`,
    );
  const fault = payoutFault(given, flags.root);
  if (fault !== null) throw new CliError(`${file} proves nothing. ${fault}`);
  const { address, amount, root } = given as PayoutProof;
  output.result(
    { ok: true, address, amount, root },
    `address  ${address}\namount   ${amount}\nroot     ${root}`,
  );
  if (flags.root === undefined)
    output.say(
      "It is as good as its root: compare that with the contract's, or the signed statement's (--root).",
    );
  return exitCodes.ok;
}

interface KeptEpoch {
  predicate: unknown;
  envelope?: { payload?: unknown } | null;
}

function verifyEpoch(
  file: string,
  { predicate, envelope }: KeptEpoch,
  root: string | undefined,
  output: Output,
): number {
  const wrong = (sentence: string) => new CliError(`${file} does not hold. ${sentence}`);
  if (!Value.Check(Epoch, predicate)) {
    const [fault] = Value.Errors(Epoch, predicate);
    throw wrong(
      `Its predicate is wrong at '${fault?.instancePath ?? ''}': it ${fault?.message ?? 'is none'}.`,
    );
  }
  const fault = epochFault(predicate);
  if (fault !== null) throw wrong(fault);
  if (envelope && !isDeepStrictEqual(predicateIn(envelope.payload), predicate))
    throw wrong('What is signed says something else.');
  const { epoch, totals, currency, distribution } = predicate;
  if (root !== undefined && root !== distribution?.root)
    throw wrong(`Its root is ${distribution?.root ?? 'none'}, and not ${root}.`);
  const text = [
    `epoch  ${epoch}, of ${totals.receipts} receipts`,
    `paid   ${totals.paid} ${currency} to ${distribution?.addresses ?? 0} addresses`,
    `root   ${distribution?.root ?? 'none'}`,
  ];
  output.result({ ok: true, epoch, totals, root: distribution?.root ?? null }, text.join('\n'));
  output.say('Its numbers add up. Who signed it, and whether the ledger has it, is not looked at here.');
  return exitCodes.ok;
}

/** Undefined where it is no envelope of a Statement. */
function predicateIn(payload: unknown): unknown {
  try {
    return JSON.parse(Buffer.from(String(payload), 'base64').toString()).predicate;
  } catch {
    return undefined;
  }
}

async function readJson(file: string): Promise<unknown> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) throw new CliError(`There is no file ${file}.`, exitCodes.usage);
  if (found.size > mostBytes)
    throw new CliError(`${file} has ${found.size} bytes; at most ${mostBytes} are read.`);
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    throw new CliError(`${file} is no JSON.`);
  }
}
