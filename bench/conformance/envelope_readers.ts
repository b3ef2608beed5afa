/** Envelopes of receipts, opened by securesystemslib and in-toto-attestation, and theirs by us. */
import { deepStrictEqual } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEnvelope, statementPayload } from '../../plugins/metering/keys/dsse.ts';
import { KeyFolder } from '../../plugins/metering/keys/key_folder.ts';
import { PublicKeys } from '../../plugins/metering/keys/public_keys.ts';
import { envelopeOf, receiptOf } from '../../plugins/metering/ledger/testing/logs.ts';
import { receiptType } from '../../plugins/metering/receipts/receipt.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { PythonEnvironment } from '../lib/python_environment.ts';
import { type CaseOutcome, runCases } from './suite.ts';

export const envelopePackages = [
  'cryptography==50.0.2',
  'in-toto-attestation==0.9.3',
  'securesystemslib==1.6.0',
];
const environment = new PythonEnvironment('envelope-env', envelopePackages);

export async function envelopeReaders(folder: string): Promise<CaseOutcome[]> {
  await environment.setUp();
  const keys = new KeyFolder(join(folder, 'keys'), 'log.example/ledger');
  const envelope = envelopeOf(keys, receiptOf('chatcmpl-1'));
  const file = join(folder, 'envelope.json');
  writeFileSync(file, JSON.stringify(envelope));
  const script = join(root, 'bench', 'conformance', 'envelope_readers.py');
  const args = [script, file, join(folder, 'keys', '0001.pub.pem')];
  const read = JSON.parse(await new Child(environment.tool('python'), args).output(600));
  return runCases([
    {
      name: 'securesystemslib verifies the envelope of a receipt, and refuses it changed',
      run: async () => {
        deepStrictEqual([read.accepted, read.refused], [[envelope.signatures[0]!.keyid], true]);
      },
    },
    {
      name: 'in-toto-attestation finds a valid Statement in it',
      run: async () => {
        deepStrictEqual([read.predicateType, read.subjects], [receiptType, 1]);
      },
    },
    {
      name: 'an envelope of securesystemslib is opened, and refused changed',
      run: async () => {
        const theirs = PublicKeys.of('python', [Buffer.from(read.key, 'hex')]);
        const [signature] = read.envelope.signatures;
        // It names keys in its own way: by the key alone, then.
        const open = (payload: string) =>
          openEnvelope(
            { ...read.envelope, payload, signatures: [{ sig: signature.sig }] },
            statementPayload,
            theirs,
          );
        const opened = open(read.envelope.payload);
        deepStrictEqual('payload' in opened && opened.payload.toString(), '{"of": "Python"}');
        deepStrictEqual('problem' in open(Buffer.from('{}').toString('base64')), true);
      },
    },
  ]);
}
