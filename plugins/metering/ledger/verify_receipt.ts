/** A receipt's file checked offline: by the installation's public keys, and by whatever checkpoint one has of its ledger. */
import Schema from 'typebox/schema';
import { verifyInclusion } from '../../datanet/snapshots/merkle.ts';
import { type Envelope, openEnvelope, statementPayload } from '../keys/dsse.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import type { VerifierKey } from '../keys/vkey.ts';
import { Receipt, receiptType } from '../receipts/receipt.ts';
import { type Checkpoint, openCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { checkConsistent, type ProofSource } from './consistency.ts';
import { type Finding, Findings } from './finding.ts';
import { cosignedAt, verifiedSignatures } from './note.ts';
import { type InclusionText, parseInclusion } from './proof_text.ts';
import { ledgerEntry, parseReceiptFile } from './receipt_file.ts';

export interface ReceiptChecks {
  keys: PublicKeys;
  /** One that the auditor has from elsewhere, older or newer than the proof's; `proof` is to show that they are of one log. */
  checkpoint?: string;
  proof?: ProofSource;
  /** Those whose signatures the proof's checkpoint must have. */
  witnesses?: readonly VerifierKey[];
}

export interface VerifiedReceipt {
  findings: Finding[];
  /** What a known key signed, whatever the other findings are. */
  receipt?: Receipt;
}

/** Never throws: what is wrong is a finding. */
export function verifyReceiptFile(
  bytes: Uint8Array,
  { keys, checkpoint, proof = {}, witnesses = [] }: ReceiptChecks,
): VerifiedReceipt {
  const findings = new Findings();
  let envelope: Envelope | undefined;
  let receipt: Receipt | undefined;
  let inclusion: InclusionText | undefined;
  let logged: Checkpoint | undefined;

  const read = findings.try('file', () => {
    const file = parseReceiptFile(bytes);
    envelope = file.envelope;
    inclusion = parseInclusion(file.proof);
    logged = parseCheckpoint(inclusion.checkpoint);
    return 'The file is a receipt with the proof that the ledger has it.';
  });
  if (!envelope) return { findings: findings.all };

  findings.try('signature', () => {
    const opened = openEnvelope(envelope, statementPayload, keys);
    envelope = opened.envelope;
    if ('problem' in opened) throw new Error(opened.problem);
    receipt = statedReceipt(opened.payload);
    return `The receipt of ${receipt.id} is signed by key ${opened.keyid} of ${keys.name}.`;
  });
  const result = () => ({ findings: findings.all, ...(receipt ? { receipt } : {}) });
  if (!read || !inclusion || !logged) return result();

  const { index, path } = inclusion;
  const { size, root } = logged;
  findings.try('inclusion', () => {
    if (!envelope) throw new Error('There is no envelope to look for in the ledger.');
    const entry = ledgerEntry('receipt', envelope);
    if (!verifyInclusion(entry, index, size, path, root))
      throw new Error(
        `The ledger of ${size} entries has not "${entry}" at ${index}: the receipt, or its proof, was changed.`,
      );
    return `It is entry ${index} of the ledger's ${size}.`;
  });
  findings.try('checkpoint', () => {
    openCheckpoint(inclusion!.checkpoint, keys);
    return `The checkpoint of ${size} entries is signed by ${keys.name}.`;
  });
  for (const witness of witnesses)
    findings.try('witness', () => {
      const [signed] = verifiedSignatures(logged!.note, [witness]);
      if (!signed)
        throw new Error(`The witness ${witness.name} did not sign the checkpoint of ${size} entries.`);
      return `The witness ${witness.name} signed it at ${new Date(cosignedAt(signed) * 1000).toISOString()}.`;
    });
  if (checkpoint !== undefined)
    findings.try('consistency', () => {
      const other = openCheckpoint(checkpoint, keys);
      checkConsistent(logged!, other, proof);
      return `The ledger of ${size} entries and the given checkpoint of ${other.size} are of one log.`;
    });
  return result();
}

const statementType = 'https://in-toto.io/Statement/v1';

/** The predicate of an in-toto Statement v1 of ours. Throws an Error with a sentence. */
function statedReceipt(payload: Buffer): Receipt {
  const statement = JSON.parse(payload.toString()) as Record<string, unknown>;
  if (statement?._type !== statementType || statement.predicateType !== receiptType)
    throw new Error(
      `What was signed is no receipt: its predicate is ${JSON.stringify(statement?.predicateType)?.slice(0, 100)}, not "${receiptType}".`,
    );
  const [, [fault]] = Schema.Errors(Receipt, statement.predicate);
  if (fault)
    throw new Error(
      `What was signed is no receipt: at ${fault.instancePath || 'its top'} it ${fault.message}.`,
    );
  return statement.predicate as Receipt;
}
