/** What an epoch says, checked offline: by the installation's public keys, its own numbers, and the proof that the ledger has it. */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import Schema from 'typebox/schema';
import { verifyInclusion } from '../../datanet/snapshots/merkle.ts';
import { openEnvelope, statementPayload } from '../keys/dsse.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import { openCheckpoint } from '../ledger/checkpoint.ts';
import { type Finding, Findings } from '../ledger/finding.ts';
import { parseInclusion } from '../ledger/proof_text.ts';
import { ledgerEntry } from '../ledger/receipt_file.ts';
import { Epoch, epochFault, epochType, succession } from './epoch.ts';
import { type CountedDocument, EpochReceipts } from './epoch_receipts.ts';

export interface EpochChecks {
  keys: PublicKeys;
  /** The root that its distribution must have. */
  root?: string;
  /** The epoch before, as it is given itself. */
  previous?: EpochFile;
  /** All its receipts and corrections with their entries of the ledger, which somebody checked; those of other epochs may be among them. */
  receipts?: Iterable<[index: number, document: CountedDocument]>;
}

/** As GET /admin/payouts/epochs/{epoch} answers; nothing of it is believed. */
export interface EpochFile {
  envelope?: unknown;
  predicate?: unknown;
  proof?: unknown;
}

/** Never throws, unless reading the receipts does: what is wrong is a finding. `epoch`: what a known key signed. */
export function verifyEpochFile(
  given: EpochFile,
  { keys, root, previous, receipts }: EpochChecks,
): { findings: Finding[]; epoch?: Epoch } {
  const findings = new Findings();
  const opened = openEnvelope(given.envelope, statementPayload, keys);
  let epoch: Epoch | undefined;
  findings.try('signature', () => {
    if ('problem' in opened) throw new Error(opened.problem);
    epoch = statedEpoch(opened.payload);
    return `Epoch ${epoch.epoch} is signed by key ${opened.keyid} of ${keys.name}.`;
  });
  if (epoch) {
    const stated = epoch;
    findings.try('numbers', () => {
      const fault = epochFault(stated);
      if (fault !== null) throw new Error(fault);
      if (!isDeepStrictEqual(given.predicate, stated)) throw new Error('What is signed says something else.');
      const { paid, carried_out, held_out, withheld_out } = stated.totals;
      return `All add up: ${paid} paid, ${carried_out} carried, ${held_out} in dispute, ${withheld_out} withheld.`;
    });
    findings.try('root', () => {
      const own = stated.distribution?.root;
      if (root !== undefined && root !== own)
        throw new Error(`Its root is ${own ?? 'none'}, and not ${root}.`);
      return own === undefined ? 'Nobody is paid in it.' : `The root of what it pays is ${own}.`;
    });
    if (previous !== undefined)
      findings.try('previous', () => {
        const before = openEnvelope(previous.envelope, statementPayload, keys);
        if ('problem' in before) throw new Error(`Of the epoch before: ${before.problem}`);
        const stated = statedEpoch(before.payload);
        const fault = succession(stated, hashOf(stated), epoch!);
        if (fault !== null) throw new Error(fault);
        return `It goes on from epoch ${stated.epoch}.`;
      });
    if (receipts !== undefined) {
      const counted = new EpochReceipts(epoch);
      for (const [index, document] of receipts) counted.add(index, document);
      findings.try('receipts', () => {
        const fault = counted.fault();
        if (fault !== null) throw new Error(fault);
        return `It says what its ${stated.totals.receipts} receipts say.`;
      });
    }
  }
  findings.try('inclusion', () => {
    if (typeof given.proof !== 'string') throw new Error('The file has no proof that the ledger has it.');
    if (!opened.envelope) throw new Error('There is no envelope to look for in the ledger.');
    const { index, path, checkpoint } = parseInclusion(given.proof);
    const { size, root } = openCheckpoint(checkpoint, keys);
    const entry = ledgerEntry('epoch', opened.envelope);
    if (!verifyInclusion(entry, index, size, path, root))
      throw new Error(
        `The ledger of ${size} entries has not "${entry}" at ${index}: the epoch, or its proof, was changed.`,
      );
    return `It is entry ${index} of the ${size} of the ledger's signed checkpoint.`;
  });
  return { findings: findings.all, ...(epoch ? { epoch } : {}) };
}

/** Of its own bytes: numbers and names come out of JSON as they went in. */
const hashOf = (epoch: Epoch) => hash('sha256', JSON.stringify(epoch), 'hex');

/** The predicate of an in-toto Statement v1 of ours. Throws an Error with a sentence. */
function statedEpoch(payload: Buffer): Epoch {
  const statement = JSON.parse(payload.toString()) as Record<string, unknown>;
  if (statement?._type !== 'https://in-toto.io/Statement/v1' || statement.predicateType !== epochType)
    throw new Error(
      `What was signed is no epoch: its predicate is ${JSON.stringify(statement?.predicateType)?.slice(0, 100)}, not "${epochType}".`,
    );
  const { predicate, subject } = statement;
  const [, [fault]] = Schema.Errors(Epoch, predicate);
  if (fault)
    throw new Error(
      `What was signed is no epoch: at ${fault.instancePath || 'its top'} it ${fault.message}.`,
    );
  const [first] = (subject ?? []) as Array<{ digest?: { sha256?: unknown } }>;
  if (first?.digest?.sha256 !== hashOf(predicate as Epoch))
    throw new Error('What was signed has the digest of another epoch.');
  return predicate as Epoch;
}
