/** Ledgers of receipts for tests, in folders of their own. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { type Envelope, signEnvelope, statementPayload } from '../../keys/dsse.ts';
import type { KeyFolder } from '../../keys/key_folder.ts';
import type { Receipt } from '../../receipts/receipt.ts';
import { receiptType } from '../../receipts/receipt.ts';
import { Ledger } from '../ledger.ts';
import { ledgerEntry } from '../receipt_file.ts';

export const receiptOf = (id: string): Receipt => ({
  ...{ id, tenant: 'default', key: 'default', began: 1000, ended: 2000 },
  model: { name: 'm', base: { name: 'b', sha256: null }, adapter: null, attribution: {} },
  engine: { backend: 'mock', version: null, precision: null },
  choices: [],
  usage: { prompt_tokens: 3, cached_tokens: 0, completion_tokens: 5 },
  fee: {
    currency: 'USD',
    rates: { input: 1000, output: 2000, platform: 7 },
    ...{ input_tokens: 3, output_tokens: 5, platform: 7, net: 13, total: 20 },
    split: { owner: 300_000, stakers: 0, contributors: 700_000 },
  },
  owed: [{ account: 'platform', units: 7 }],
});

export function envelopeOf(keys: KeyFolder, receipt: object, predicateType = receiptType): Envelope {
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'response', digest: { sha256: 'ab'.repeat(32) } }],
    predicateType,
    predicate: receipt,
  };
  return signEnvelope(statementPayload, Buffer.from(JSON.stringify(statement)), keys.signing);
}

/** A ledger in memory that publishes into `folder`. */
export class TestLog {
  readonly envelopes: Envelope[] = [];
  readonly folder: string;
  readonly ledger: Ledger;

  constructor(root: string, name: string, keys: KeyFolder) {
    this.folder = join(root, name);
    this.ledger = new Ledger(new Database(':memory:'), this.folder, keys);
  }

  /** Logs, signs and publishes; gives the checkpoint. */
  add(envelopes: readonly Envelope[]): string {
    this.envelopes.push(...envelopes);
    this.ledger.append(envelopes.map((one) => ledgerEntry('receipt', one)));
    this.ledger.checkpoint();
    return this.ledger.publish().text;
  }
}
