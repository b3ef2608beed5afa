/** A signed document of the ledger checked offline: by the installation's public keys, and by whatever checkpoint one has of it. */
import type { Static, TSchema } from 'typebox';
import Schema from 'typebox/schema';
import { verifyInclusion } from '../../datanet/snapshots/merkle.ts';
import { type Envelope, openEnvelope, statementPayload } from '../keys/dsse.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import type { VerifierKey } from '../keys/vkey.ts';
import { openCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { checkConsistent, type ProofSource } from './consistency.ts';
import type { Findings } from './finding.ts';
import { cosignedAt, verifiedSignatures } from './note.ts';
import { parseInclusion } from './proof_text.ts';
import { type Logged, ledgerEntry } from './receipt_file.ts';

export interface DocumentChecks {
  keys: PublicKeys;
  /** One that the auditor has from elsewhere, older or newer than the proof's; `proof` is to show that they are of one log. */
  checkpoint?: string;
  proof?: ProofSource;
  /** Those whose signatures the proof's checkpoint must have. */
  witnesses?: readonly VerifierKey[];
}

/** What kind of document it is: as sentences call it, as the ledger does, and its predicate. */
export interface DocumentKind<Predicate extends TSchema> {
  name: string;
  logged: Logged;
  type: string;
  predicate: Predicate;
  /** What the sentence of a good signature calls this one. */
  called(predicate: Static<Predicate>): string;
}

/** What a file brings, its form alone looked at. */
export interface LoggedDocument {
  envelope: Envelope;
  /** c2sp.org/tlog-proof@v1. */
  proof: string;
}

/** Throws an Error with a sentence where the proof has not its form. */
export function checkProofForm({ proof }: LoggedDocument): void {
  parseCheckpoint(parseInclusion(proof).checkpoint);
}

/**
 * Who signed it, that the ledger has it, and which ledger that is; the last two where its proof has its form (`isProof`). Never throws:
 * what is wrong is a finding. Gives what a known key signed, whatever the other findings are.
 */
export function verifyDocument<Predicate extends TSchema>(
  document: LoggedDocument,
  isProof: boolean,
  kind: DocumentKind<Predicate>,
  checks: DocumentChecks,
  findings: Findings,
): Static<Predicate> | undefined {
  const { keys } = checks;
  let envelope: Envelope | undefined;
  let stated: Static<Predicate> | undefined;
  findings.try('signature', () => {
    const opened = openEnvelope(document.envelope, statementPayload, keys);
    envelope = opened.envelope;
    if ('problem' in opened) throw new Error(opened.problem);
    const predicate = statedPredicate(opened.payload, kind);
    stated = predicate;
    return `The ${kind.called(predicate)} is signed by key ${opened.keyid} of ${keys.name}.`;
  });
  if (isProof) verifyLogged(envelope, document.proof, kind, checks, findings);
  return stated;
}

function verifyLogged(
  envelope: Envelope | undefined,
  text: string,
  { name, logged: what }: Pick<DocumentKind<TSchema>, 'name' | 'logged'>,
  { keys, checkpoint, proof = {}, witnesses = [] }: DocumentChecks,
  findings: Findings,
): void {
  const { index, path, checkpoint: signed } = parseInclusion(text);
  const logged = parseCheckpoint(signed);
  const { size, root } = logged;
  findings.try('inclusion', () => {
    if (!envelope) throw new Error('There is no envelope to look for in the ledger.');
    const entry = ledgerEntry(what, envelope);
    if (!verifyInclusion(entry, index, size, path, root))
      throw new Error(
        `The ledger of ${size} entries has not "${entry}" at ${index}: the ${name}, or its proof, was changed.`,
      );
    return `It is entry ${index} of the ledger's ${size}.`;
  });
  findings.try('checkpoint', () => {
    openCheckpoint(signed, keys);
    return `The checkpoint of ${size} entries is signed by ${keys.name}.`;
  });
  for (const witness of witnesses)
    findings.try('witness', () => {
      const [signature] = verifiedSignatures(logged.note, [witness]);
      if (!signature)
        throw new Error(`The witness ${witness.name} did not sign the checkpoint of ${size} entries.`);
      return `The witness ${witness.name} signed it at ${new Date(cosignedAt(signature) * 1000).toISOString()}.`;
    });
  if (checkpoint !== undefined)
    findings.try('consistency', () => {
      const other = openCheckpoint(checkpoint, keys);
      checkConsistent(logged, other, proof);
      return `The ledger of ${size} entries and the given checkpoint of ${other.size} are of one log.`;
    });
}

const statementType = 'https://in-toto.io/Statement/v1';

/** The predicate of an in-toto Statement v1 of ours. Throws an Error with a sentence. */
function statedPredicate<Predicate extends TSchema>(
  payload: Buffer,
  { name, type, predicate: schema }: DocumentKind<Predicate>,
): Static<Predicate> {
  const statement = JSON.parse(payload.toString()) as Record<string, unknown>;
  if (statement?._type !== statementType || statement.predicateType !== type)
    throw new Error(
      `What was signed is no ${name}: its predicate is ${JSON.stringify(statement?.predicateType)?.slice(0, 100)}, not "${type}".`,
    );
  const [, [fault]] = Schema.Errors(schema, statement.predicate);
  if (fault)
    throw new Error(
      `What was signed is no ${name}: at ${fault.instancePath || 'its top'} it ${fault.message}.`,
    );
  return statement.predicate as Static<Predicate>;
}
