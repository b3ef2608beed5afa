/** `colophon payouts verify`: checks a file with nothing but what is in it, and the keys that one knows. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CliError, exitCodes } from '../../../../gateway/cli/failure.ts';
import type { Output } from '../../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../../gateway/cli/server_flags.ts';
import { knownKeys, readGiven, showFindings } from '../../cli/findings.ts';
import type { PublicKeys } from '../../keys/public_keys.ts';
import type { Finding } from '../../ledger/finding.ts';
import { parseInclusion } from '../../ledger/proof_text.ts';
import { parseCorrectionFile, parseReceiptFile, saysCorrection } from '../../ledger/receipt_file.ts';
import { verifyCorrectionFile, verifyReceiptFile } from '../../ledger/verify_receipt.ts';
import { type PayoutProof, payoutFault } from '../distribution.ts';
import type { CountedDocument } from '../epoch_receipts.ts';
import { verifyEpochFile } from '../verify_epoch.ts';

/** A statement of a hundred thousand accounts has some 25 MB, twice in its file. */
const mostBytes = 2 ** 28;

export interface VerifyFlags extends ServeFlags {
  root?: string;
  keys?: string;
  previous?: string;
  receipts?: string;
}

/** A proof of a payment, or what an epoch says. Exit code 1 where it does not hold. */
export async function verify(file: string, flags: VerifyFlags, output: Output): Promise<number> {
  const given = readJson(file);
  const { object, format } = Object(given) as { object?: unknown; format?: unknown };
  const root = flags.root === undefined ? {} : { root: flags.root };
  if (object === 'payout.epoch') {
    const keys = knownKeys(flags.keys, () => configOf(flags));
    const { previous, receipts } = flags;
    const unread: Finding[] = [];
    const { findings } = verifyEpochFile(given as object, {
      keys,
      ...root,
      ...(previous === undefined ? {} : { previous: Object(readJson(previous)) }),
      ...(receipts === undefined ? {} : { receipts: documentsIn(receipts, keys, unread) }),
    });
    return showFindings('The epoch', [...findings, ...unread], output);
  }
  if (format !== 'colophon-payout-v1')
    throw new CliError(
      `${file} is neither a proof (colophon payouts proof) nor an epoch (colophon payouts show EPOCH --json).`,
    );
  const fault = payoutFault(given, flags.root);
  if (fault !== null) throw new CliError(`${file} proves nothing. ${fault}`);
  const proof = given as PayoutProof;
  const { address, amount } = proof;
  output.result(
    { ok: true, address, amount, root: proof.root },
    `address  ${address}\namount   ${amount}\nroot     ${proof.root}`,
  );
  if (flags.root === undefined)
    output.say("It is as good as its root: compare that with the contract's, or the epoch's (--root).");
  return exitCodes.ok;
}

/** The receipts and corrections of a folder's files, one read at a time; what does not hold is left out, and told in `unread`. */
function* documentsIn(
  folder: string,
  keys: PublicKeys,
  unread: Finding[],
): Generator<[index: number, document: CountedDocument]> {
  for (const name of namesIn(folder)) {
    const bytes = readGiven(join(folder, name));
    const { document, findings, proof } = documentIn(bytes, keys);
    const wrong = findings.find(({ ok }) => !ok);
    if (wrong) unread.push({ ...wrong, sentence: `${name}: ${wrong.sentence}` });
    else if (document) yield [parseInclusion(proof()).index, document];
  }
}

function documentIn(bytes: Buffer, keys: PublicKeys) {
  if (saysCorrection(bytes)) {
    const { correction, findings } = verifyCorrectionFile(bytes, { keys });
    return { document: correction, findings, proof: () => parseCorrectionFile(bytes).proof };
  }
  const { receipt, findings } = verifyReceiptFile(bytes, { keys });
  return { document: receipt, findings, proof: () => parseReceiptFile(bytes).proof };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .sort();
  } catch (error) {
    throw new CliError(`${folder} cannot be read: ${(error as Error).message}`, exitCodes.usage, error);
  }
}

function readJson(file: string): unknown {
  const bytes = readGiven(file);
  if (bytes.length > mostBytes)
    throw new CliError(`${file} has ${bytes.length} bytes; at most ${mostBytes} are read.`);
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new CliError(`${file} is no JSON.`);
  }
}
