/** What an auditor keeps of a receipt: its envelope, and the proof that the ledger has it. Of a correction the same, with the receipt's. */
import { createHash } from 'node:crypto';
import { type Envelope, envelopeBytes } from '../keys/dsse.ts';

export const receiptFileFormat = 'colophon-receipt-v1';

export interface ReceiptFile {
  format: typeof receiptFileFormat;
  envelope: Envelope;
  /** c2sp.org/tlog-proof@v1. */
  proof: string;
}

export const correctionFileFormat = 'colophon-correction-v1';

export interface CorrectionFile extends Omit<ReceiptFile, 'format'> {
  format: typeof correctionFileFormat;
  receipt: ReceiptFile;
}

/** Most bytes of a file that are read. */
const longestFile = 64 * 1024 * 1024;

/** What the ledger has documents of. */
export type Logged = 'receipt' | 'epoch' | `correction of ${number}`;

export const digestOf = (envelope: Envelope, bytes = envelopeBytes(envelope)): string =>
  createHash('sha256').update(bytes).digest('hex');

/**
 * What the ledger has of a document, which tells nothing but its digest; of a correction also which entry the receipt is. `bytes`: the
 * envelope's file, where it is made already.
 */
export function ledgerEntry(what: Logged, envelope: Envelope, bytes?: Buffer): Buffer {
  const [kind, of, entry] = what.split(' ');
  return Buffer.from(`${kind} sha256:${digestOf(envelope, bytes)}${of ? ` of ${entry}` : ''}`);
}

export function writeReceiptFile(envelope: Envelope, proof: string): string {
  const file: ReceiptFile = {
    format: receiptFileFormat,
    envelope: JSON.parse(envelopeBytes(envelope).toString()),
    proof,
  };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

/** Of the form alone. Throws an Error whose sentence says what is wrong. */
export const parseReceiptFile = (bytes: Uint8Array): ReceiptFile => receiptFileOf(parse(bytes), 'file');

/** The same of a correction's, and of the receipt's in it. */
export function parseCorrectionFile(bytes: Uint8Array): CorrectionFile {
  const file = parse(bytes) as Partial<CorrectionFile> | null;
  checkForm(file, 'file', 'correction', correctionFileFormat);
  receiptFileOf(file?.receipt, '"receipt" in the file');
  return file as CorrectionFile;
}

/** Whether a file says that it is a correction. */
export function saysCorrection(bytes: Uint8Array): boolean {
  try {
    return (parse(bytes) as Partial<CorrectionFile> | null)?.format === correctionFileFormat;
  } catch {
    return false;
  }
}

function receiptFileOf(value: unknown, where: string): ReceiptFile {
  checkForm(value, where, 'receipt', receiptFileFormat);
  return value as ReceiptFile;
}

function checkForm(value: unknown, where: string, what: string, format: string): void {
  const file = value as Partial<ReceiptFile> | null | undefined;
  if (file?.format !== format)
    throw new Error(
      `The ${where} is no ${what}: its "format" is ${JSON.stringify(file?.format)?.slice(0, 100)}, not "${format}".`,
    );
  if (typeof file.envelope !== 'object' || file.envelope === null)
    throw new Error(`The ${where} has no "envelope".`);
  if (typeof file.proof !== 'string') throw new Error(`The ${where} has no "proof".`);
}

function parse(bytes: Uint8Array): unknown {
  if (bytes.length > longestFile)
    throw new Error(`The file has ${bytes.length} bytes; no receipt has more than ${longestFile}.`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`The file is not JSON: ${(error as Error).message}.`);
  }
}
