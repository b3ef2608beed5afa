/** How an adapter was made: an in-toto Statement v1 (github.com/in-toto/attestation) with SLSA provenance v1 (slsa.dev/spec/v1.0/provenance). */
import { attributionFiles } from '../../../gateway/contract/index.ts';
import type { FileFact, UsedData } from '../facts/adapter.ts';
import { type Facts, timeOf, withdrawalSentences } from '../facts/facts.ts';

export const statementType = 'https://in-toto.io/Statement/v1';
export const slsaType = 'https://slsa.dev/provenance/v1';

/** What training leaves besides the adapter. */
const leftBeside: ReadonlySet<string> = new Set([...attributionFiles, 'training_log.jsonl', 'recipe.json']);

export function trainingStatement(facts: Facts): object {
  const { adapter } = facts;
  return {
    _type: statementType,
    subject: adapter.files.map(resource),
    predicateType: slsaType,
    predicate: adapter.recipe ? trained(facts) : imported(facts),
  };
}

const resource = ({ name, sha256 }: FileFact) => ({ name, digest: { sha256 } });

function trained(facts: Facts): object {
  const { adapter } = facts;
  const { recipe, sweep, engine, step, base, job, data } = adapter.recipe!;
  return {
    buildDefinition: {
      buildType: 'urn:colophon:build:training:v1',
      externalParameters: {
        model: base,
        training_file: data.training.file,
        validation_file: data.validation?.file ?? null,
      },
      internalParameters: { recipe, sweep, checkpoint: step, adapter_config: adapter.config },
      resolvedDependencies: dependencies(facts),
    },
    runDetails: {
      builder: { id: 'urn:colophon:trainer', version: { engine } },
      metadata: {
        invocationId: job,
        // The job's record knows when it was asked for, and not when it left the queue.
        ...(adapter.job ? { startedOn: timeOf(adapter.job.createdAt) } : {}),
        ...(adapter.job?.finishedAt ? { finishedOn: timeOf(adapter.job.finishedAt) } : {}),
      },
      byproducts: adapter.files.filter(({ name }) => leftBeside.has(name)).map(resource),
    },
  };
}

function imported(facts: Facts): object {
  const { adapter } = facts;
  return {
    buildDefinition: {
      buildType: 'urn:colophon:build:import:v1',
      externalParameters: { adapter: adapter.name },
      internalParameters: { adapter_config: adapter.config },
      resolvedDependencies: dependencies(facts),
    },
    runDetails: {
      // It came from elsewhere: nothing here saw how it was made.
      builder: { id: 'urn:colophon:unknown' },
      metadata: {},
      byproducts: adapter.files.filter(({ name }) => leftBeside.has(name)).map(resource),
    },
  };
}

/** The base, the snapshot by its id (a Merkle root, RFC 6962 over SHA-256), the files of examples by what their bytes hash to. */
function dependencies(facts: Facts): object[] {
  const { base, data } = facts.adapter;
  const snapshots = new Map(data.flatMap((one) => (one.snapshot ? [[one.snapshot, one] as const] : [])));
  const withdrawn = withdrawalSentences(facts);
  return [
    {
      name: base.name,
      ...(base.sha256 ? { digest: { sha256: base.sha256 } } : {}),
      annotations: { role: 'base', ...(base.sha256 ? {} : { known_by: 'adapter_config.json' }) },
    },
    ...[...snapshots].map(([id, { datanet }]) => ({
      name: `datanet:${datanet}@${id}`,
      uri: `urn:colophon:datanet:${datanet}@${id}`,
      digest: { 'rfc6962-sha256': id },
      annotations: {
        role: 'snapshot',
        ...(facts.snapshot?.snapshot.id === id
          ? { provenance: facts.snapshot.snapshot.provenance, withdrawn }
          : {}),
      },
    })),
    ...data.map(fileOf),
  ];
}

const fileOf = ({ role, file, sha256, examples }: UsedData) => ({
  name: file,
  uri: `urn:colophon:file:${file}`,
  ...(sha256 ? { digest: { sha256 } } : {}),
  annotations: { role, examples },
});
