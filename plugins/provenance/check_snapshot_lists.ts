/** Whether the lists of a bundle are those of the snapshot that its statement names, and signed by the contributors in them. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type Static, type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { CliError } from '../../gateway/cli/failure.ts';
import { readLines } from '../datanet/formats/lines.ts';
import { MerkleRoot } from '../datanet/snapshots/merkle.ts';
import { signatureFault } from '../datanet/snapshots/proof.ts';
import { type ContributionRecord, provenanceLeaf, recordHash } from '../datanet/snapshots/provenance.ts';
import { contributionsFile, examplesFile } from './bundle.ts';

const longestLine = 2 ** 20;

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });
const textOrNull = Type.Union([Type.String(), Type.Null()]);
const Example = Type.Object({
  hash: Hash,
  contribution: Type.String(),
  line: Type.Integer(),
  split: Type.Enum(['train', 'validation', 'test']),
});
const RecordLine = Type.Object({
  datanet: Type.String(),
  id: Type.String(),
  sha256: Hash,
  licence: Type.String(),
  source: Type.String(),
  rights: Type.String(),
  signature: textOrNull,
  contributor: Type.Object({ id: Type.String(), name: Type.String(), publicKey: textOrNull }),
});

export interface SnapshotRoots {
  /** Merkle root of the examples' hashes: the snapshot's id, hex. */
  id: string;
  /** Of who gave each; null: of a snapshot that was made before there was one. */
  provenance: string | null;
}

/** What is wrong with them, a sentence each. Throws CliError where one cannot be read. Holds a hash for each contribution. */
export async function snapshotListFaults(
  folder: string,
  { id, provenance }: SnapshotRoots,
): Promise<string[]> {
  const faults: string[] = [];
  const records = new Map<string, string>();
  for await (const line of linesOf(join(folder, contributionsFile), RecordLine)) {
    const { datanet, id: own, sha256, licence, source, rights, signature, contributor } = line;
    const { id: who, name, publicKey } = contributor;
    const record: ContributionRecord = {
      ...{ datanet, id: own, sha256, licence, source, rights, signature },
      contributor: { id: who, name, publicKey },
    };
    const fault = signatureFault(record);
    if (fault !== null) faults.push(fault);
    records.set(own, recordHash(record));
  }
  const examples = new MerkleRoot();
  const givers = new MerkleRoot();
  for await (const entry of linesOf(join(folder, examplesFile), Example)) {
    const record = records.get(entry.contribution);
    if (record === undefined)
      return [
        ...faults,
        `${contributionsFile} has no contribution ${entry.contribution}, which ${examplesFile} names.`,
      ];
    examples.add(Buffer.from(entry.hash, 'hex'));
    givers.add(provenanceLeaf(entry, record));
  }
  const [root, giversRoot] = [examples, givers].map((tree) => tree.root().toString('hex'));
  if (root !== id)
    faults.push(`The examples in ${examplesFile} are those of the snapshot ${root}, not of ${id}.`);
  else if (provenance !== null && giversRoot !== provenance)
    faults.push(
      `Who gave the examples is told otherwise in ${examplesFile} and ${contributionsFile} than in the snapshot ${id}: its root of provenance is ${provenance}, theirs ${giversRoot}.`,
    );
  return faults;
}

async function* linesOf<Schema extends TSchema>(
  path: string,
  schema: Schema,
): AsyncGenerator<Static<Schema>> {
  for await (const batch of readLines(createReadStream(path), longestLine)) {
    for (const { bytes, size, line } of batch) {
      const where = `Line ${line} of ${path}`;
      if (size > bytes.length)
        throw new CliError(`${where} has ${size} bytes; at most ${longestLine} are read.`);
      let value: unknown;
      try {
        value = JSON.parse(Buffer.from(bytes).toString());
      } catch {
        throw new CliError(`${where} is no JSON.`);
      }
      const [fault] = Value.Errors(schema, value);
      if (fault)
        throw new CliError(
          `${where} is not as a bundle has it: ${fault.instancePath || 'it'} ${fault.message}.`,
        );
      yield value as Static<Schema>;
    }
  }
}
