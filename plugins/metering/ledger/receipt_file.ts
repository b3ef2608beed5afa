/** What an auditor keeps of a receipt: its envelope, and the proof that the ledger has it. */
import { createHash } from 'node:crypto';
import { type Envelope, envelopeBytes } from '../keys/dsse.ts';

export const receiptFileFormat = 'colophon-receipt-v1';

export interface ReceiptFile {
  format: typeof receiptFileFormat;
  envelope: Envelope;
  /** c2sp.org/tlog-proof@v1. */
  proof: string;
}

/** Most bytes of a receipt's file that are read. */
const longestFile = 64 * 1024 * 1024;

/** What the ledger has documents of. */
export type Logged = 'receipt' | 'epoch' | `correction of ${number}`;

export const digestOf = (envelope: Envelope): string =>
  createHash('sha256').update(envelopeBytes(envelope)).digest('hex');

/** What the ledger has of a document, which tells nothing but its digest; of a correction also which entry the receipt is. */
export function ledgerEntry(what: Logged, envelope: Envelope): Buffer {
  const [kind, of, entry] = what.split(' ');
  return Buffer.from(`${kind} sha256:${digestOf(envelope)}${of ? ` of ${entry}` : ''}`);
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
export function parseReceiptFile(bytes: Uint8Array): ReceiptFile {
  if (bytes.length > longestFile)
    throw new Error(`The file has ${bytes.length} bytes; no receipt has more than ${longestFile}.`);
  let file: Partial<ReceiptFile> | null;
  try {
    file = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`The file is not JSON: ${(error as Error).message}.`);
  }
  if (file?.format !== receiptFileFormat)
    throw new Error(
      `The file is no receipt: its "format" is ${JSON.stringify(file?.format)?.slice(0, 100)}, not "${receiptFileFormat}".`,
    );
  if (typeof file.envelope !== 'object' || file.envelope === null)
    throw new Error('The file has no "envelope".');
  if (typeof file.proof !== 'string') throw new Error('The file has no "proof".');
  return file as ReceiptFile;
}
