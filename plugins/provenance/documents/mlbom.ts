/** The adapter as a CycloneDX 1.7 ML-BOM (cyclonedx.org/docs/1.7/json). */
import type { Estimate } from '../../attribution/fidelity/estimate.ts';
import type { LogFacts, UsedData } from '../facts/adapter.ts';
import { type Facts, madeAt, timeOf, withdrawalSentences } from '../facts/facts.ts';
import { contributorsOf, licencesOf, type SnapshotFacts } from '../facts/snapshot.ts';

export function mlbom(facts: Facts): object {
  const { adapter, provider } = facts;
  const at = madeAt(facts);
  const organization = provider.name ? { name: provider.name } : undefined;
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.7.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.7',
    serialNumber: `urn:uuid:${uuidOf(adapter.contentHash)}`,
    version: 1,
    metadata: {
      ...(at === undefined ? {} : { timestamp: timeOf(at) }),
      ...(adapter.recipe
        ? {
            tools: {
              components: [{ type: 'application', name: 'colophon', version: adapter.recipe.engine }],
            },
          }
        : {}),
      ...(organization ? { manufacturer: organization } : {}),
      component: model(facts),
    },
    components: adapter.data.map((one) => dataset(facts, one)),
    dependencies: [
      { ref: modelRef(facts), dependsOn: [baseRef, ...adapter.data.map(dataRef)] },
      { ref: baseRef },
      ...adapter.data.map((one) => ({ ref: dataRef(one) })),
    ],
  };
}

const baseRef = 'base';
const modelRef = ({ adapter }: Facts) => `adapter:${adapter.contentHash}`;
const dataRef = ({ role }: UsedData) => `data:${role}`;

/** Of the same adapter always the same (RFC 9562, version 8). */
function uuidOf(hash: string): string {
  const hex = `${hash.slice(0, 12)}8${hash.slice(13, 16)}8${hash.slice(17, 32)}`;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const sha256 = (content: string) => ({ alg: 'SHA-256', content });

function model(facts: Facts): object {
  const { adapter } = facts;
  const { base, config } = adapter;
  const limits = withdrawalSentences(facts);
  const measured = performance(facts);
  return {
    type: 'machine-learning-model',
    'bom-ref': modelRef(facts),
    name: adapter.name,
    version: adapter.contentHash.slice(0, 12),
    description: `A LoRA of rank ${config.r} on ${base.name}${adapter.recipe ? ', trained by Colophon' : ', made elsewhere'}.`,
    hashes: adapter.files
      .filter(({ name }) => name === 'adapter_model.safetensors')
      .map((one) => sha256(one.sha256)),
    pedigree: {
      ancestors: [
        {
          type: 'machine-learning-model',
          'bom-ref': baseRef,
          name: base.name,
          ...(base.sha256 ? { hashes: [sha256(base.sha256)] } : {}),
        },
      ],
    },
    components: adapter.files.map((file) => ({
      type: 'file',
      'bom-ref': `file:${file.name}`,
      name: file.name,
      hashes: [sha256(file.sha256)],
    })),
    modelCard: {
      modelParameters: {
        ...(adapter.recipe ? { approach: { type: 'supervised' } } : {}),
        task: 'text-generation',
        architectureFamily: 'transformer',
        modelArchitecture: `LoRA adapter of ${base.name}`,
        ...(adapter.data.length > 0 ? { datasets: adapter.data.map((one) => ({ ref: dataRef(one) })) } : {}),
        inputs: [{ format: 'text' }],
        outputs: [{ format: 'text' }],
      },
      ...(measured.length > 0 ? { quantitativeAnalysis: { performanceMetrics: measured } } : {}),
      ...(limits.length > 0 ? { considerations: { technicalLimitations: limits } } : {}),
    },
    properties: [
      { name: 'colophon:content-hash', value: adapter.contentHash },
      ...Object.entries(adapter.recipe?.recipe ?? {}).map(([name, value]) => ({
        name: `colophon:recipe:${name}`,
        value: typeof value === 'string' ? value : JSON.stringify(value),
      })),
    ],
  };
}

function dataset(facts: Facts, used: UsedData): object {
  const { snapshot, provider } = facts;
  const known = snapshot && used.snapshot === snapshot.snapshot.id ? snapshot : null;
  return {
    type: 'data',
    'bom-ref': dataRef(used),
    name: used.file,
    ...(used.snapshot ? { version: used.snapshot } : {}),
    ...(used.sha256 ? { hashes: [sha256(used.sha256)] } : {}),
    ...(known ? { licenses: licencesOf(known).map((id) => ({ license: { id } })) } : {}),
    data: [
      {
        type: 'dataset',
        name: used.file,
        description: `${used.examples} examples, ${used.role === 'training' ? 'which it learned from' : 'held out'}.`,
        ...(known
          ? {
              ...sensitive(known),
              governance: {
                ...(provider.name ? { custodians: [{ organization: { name: provider.name } }] } : {}),
                owners: contributorsOf(known).map(({ name }) => ({ contact: { name } })),
              },
            }
          : {}),
      },
    ],
  };
}

/** What the curation saw, before it masked or set aside. */
function sensitive({ curation }: SnapshotFacts): { sensitiveData?: string[] } {
  const seen = Object.entries(curation?.personal ?? {}).filter(([, count]) => count > 0);
  if (seen.length === 0) return {};
  return {
    sensitiveData: seen.map(
      ([kind, count]) => `${kind}: seen ${count} times by the curation, by whose settings it was treated`,
    ),
  };
}

function performance({ adapter: { log, fidelity } }: Facts): object[] {
  return [
    ...(log ? losses(log) : []),
    ...(fidelity?.methods ?? []).map(({ method, lds }) => ({
      type: 'linear datamodelling score',
      slice: `attribution by ${method}`,
      value: String(lds.value),
      confidenceInterval: interval(lds),
    })),
  ];
}

const interval = ({ low, high }: Estimate) => ({ lowerBound: String(low), upperBound: String(high) });

function losses({ first, last, kept }: LogFacts): object[] {
  const loss = (slice: string, value: { loss: number } | undefined) =>
    value ? [{ type: 'cross-entropy loss (nats a token)', slice, value: String(value.loss) }] : [];
  return [
    ...loss(`training batch, step ${first.step}`, first.train),
    ...loss(`training batch, step ${last.step}`, last.train),
    ...loss(`held-out examples, step ${kept?.step}, this checkpoint`, kept?.validation),
    ...loss(`general text, step ${kept?.step}, this checkpoint`, kept?.general),
  ];
}
