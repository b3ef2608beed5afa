/** Files of receipts and of their corrections checked offline. */
import { Correction, correctionType } from '../receipts/correction.ts';
import { correctionFault } from '../receipts/make_correction.ts';
import { Receipt, receiptType } from '../receipts/receipt.ts';
import { type Finding, Findings } from './finding.ts';
import { parseInclusion } from './proof_text.ts';
import {
  type CorrectionFile,
  digestOf,
  parseCorrectionFile,
  parseReceiptFile,
  type ReceiptFile,
} from './receipt_file.ts';
import { checkProofForm, type DocumentChecks, type DocumentKind, verifyDocument } from './verify_document.ts';

export type ReceiptChecks = DocumentChecks;

export interface VerifiedReceipt {
  findings: Finding[];
  /** What a known key signed, whatever the other findings are. */
  receipt?: Receipt;
}

export interface VerifiedCorrection extends VerifiedReceipt {
  correction?: Correction;
}

const receiptKind: DocumentKind<typeof Receipt> = {
  name: 'receipt',
  logged: 'receipt',
  type: receiptType,
  predicate: Receipt,
  called: ({ id }) => `receipt of ${id}`,
};

/** `receipt`: its entry of the ledger. */
const correctionKind = (receipt: number): DocumentKind<typeof Correction> => ({
  name: 'correction',
  logged: `correction of ${receipt}`,
  type: correctionType,
  predicate: Correction,
  called: ({ receipt: { id } }) => `correction of the receipt of ${id}`,
});

/** Never throws: what is wrong is a finding. */
export function verifyReceiptFile(bytes: Uint8Array, checks: ReceiptChecks): VerifiedReceipt {
  const findings = new Findings();
  let file: ReceiptFile | undefined;
  const read = findings.try('file', () => {
    file = parseReceiptFile(bytes);
    checkProofForm(file);
    return 'The file is a receipt with the proof that the ledger has it.';
  });
  if (!file) return { findings: findings.all };
  const receipt = verifyDocument(file, read, receiptKind, checks, findings);
  return { findings: findings.all, ...(receipt ? { receipt } : {}) };
}

/** Of a correction, and of the receipt that its file brings along. Never throws: what is wrong is a finding. */
export function verifyCorrectionFile(bytes: Uint8Array, checks: ReceiptChecks): VerifiedCorrection {
  const findings = new Findings();
  let file: CorrectionFile | undefined;
  const read = findings.try('file', () => {
    file = parseCorrectionFile(bytes);
    for (const one of [file, file.receipt]) checkProofForm(one);
    return 'The file is a correction and its receipt, with the proofs that the ledger has both.';
  });
  if (!file || !read) return { findings: findings.all };
  const entry = parseInclusion(file.receipt.proof).index;
  const correction = verifyDocument(file, true, correctionKind(entry), checks, findings);
  const ofReceipt = new Findings();
  const receipt = verifyDocument(file.receipt, true, receiptKind, checks, ofReceipt);
  if (correction && receipt) checkCorrection({ correction, receipt, entry, file }, findings);
  return {
    findings: [...findings.all, ...ofReceipt.all.map((one) => ({ ...one, check: `receipt's ${one.check}` }))],
    ...(correction ? { correction } : {}),
    ...(receipt ? { receipt } : {}),
  };
}

function checkCorrection(
  given: { correction: Correction; receipt: Receipt; entry: number; file: CorrectionFile },
  findings: Findings,
): void {
  const { correction, receipt, entry, file } = given;
  findings.try('receipt', () => {
    const named = correction.receipt;
    const sha256 = digestOf(file.receipt.envelope);
    if (named.id !== receipt.id || named.entry !== entry || named.sha256 !== sha256)
      throw new Error(
        `It corrects ${named.id}, entry ${named.entry}, sha256:${named.sha256}; the receipt beside it is ${receipt.id}, entry ${entry}, sha256:${sha256}.`,
      );
    return `It corrects the receipt beside it, entry ${entry}.`;
  });
  findings.try('changes', () => {
    const fault = correctionFault(receipt, correction);
    if (fault !== null) throw new Error(fault);
    const { changes, times } = correction;
    return `Its ${changes.length} changes sum to 0, and are ${times === 1 ? '' : `${times} times `}what its shares come to at the receipt's rates, less what that says.`;
  });
}
