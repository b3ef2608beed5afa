/** fidelity.json, beside an adapter: how faithful its attribution is, as measured, and by which method its answers are settled. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { fidelityFile } from '../../../gateway/contract/index.ts';
import type { InfluenceMethod } from '../../../native/binding/index.ts';
import { writeWhole } from '../../training/job_folders.ts';

/** Methods that answers can be settled by. */
export const candidates: readonly InfluenceMethod[] = [
  'repsim',
  'grad-dot',
  'cosine',
  'less',
  'datainf',
  'logra',
  'trak',
];

const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const count = Type.Integer({ minimum: 0 });
const estimate = Type.Object({ value: Type.Number(), low: Type.Number(), high: Type.Number() });

const fidelitySchema = Type.Object({
  format: Type.Literal(1),
  /** Content hash of the adapter. */
  adapter: sha256,
  /** Of its recipe.json. */
  recipe: sha256,
  /** Version of the engine that measured it. */
  engine: Type.String(),
  data: Type.Object({
    /** That were trained on again, of all that the adapter learned from. */
    examples: count,
    of: count,
    /** That were asked about, and where they are from: held out, or taken out of what was trained on again. */
    queries: count,
    heldOut: Type.Enum(['validation', 'training']),
    /** Of the recipe's steps that each training did. */
    share: Type.Number(),
  }),
  /** Trainings on halves. */
  retrains: count,
  /** Best first. */
  methods: Type.Array(
    Type.Object({
      method: Type.String(),
      lds: estimate,
      overBaseline: Type.Optional(estimate),
      classAuc: Type.Optional(Type.Number()),
      classRecall: Type.Optional(Type.Number()),
    }),
  ),
  /** Null: none is surely better than BM25. */
  chosen: Type.Union([Type.Enum([...candidates]), Type.Null()]),
  /** Examples with a wrong answer, told by an example's loss or its influence on itself: area under ROC. Null: not measured. */
  mislabelled: Type.Union([
    Type.Object({ examples: count, wrong: count, auc: Type.Record(Type.String(), Type.Number()) }),
    Type.Null(),
  ]),
  /** What a query loses, nats a token, without its best examples, more than without as many by chance. Null: not measured. */
  counterfactual: Type.Union([
    Type.Object({
      rounds: count,
      queries: count,
      removed: count,
      methods: Type.Record(Type.String(), estimate),
    }),
    Type.Null(),
  ]),
});

export type Fidelity = Static<typeof fidelitySchema>;

/** No report is longer. */
const mostBytes = 2 ** 20;

/** Undefined where nobody has measured it. Rejects with a sentence where it is damaged, or of another adapter. */
export async function readFidelity(folder: string, adapter: string): Promise<Fidelity | undefined> {
  const path = join(folder, fidelityFile);
  const text = await read(path);
  if (text === undefined) return undefined;
  const remedy = 'Measure it again (colophon attribution fidelity), or remove it.';
  let report: unknown;
  try {
    report = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is damaged: it is no JSON (${(error as Error).message}). ${remedy}`);
  }
  const [fault] = Value.Errors(fidelitySchema, report);
  if (fault)
    throw new Error(
      `${path} is no report of fidelity: ${fault.instancePath || 'all of it'} ${fault.message}. ${remedy}`,
    );
  const found = report as Fidelity;
  if (found.adapter !== adapter)
    throw new Error(`${path} is of the adapter ${found.adapter}, not of ${adapter}. ${remedy}`);
  return found;
}

async function read(path: string): Promise<string | undefined> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Whole and durable, or as it was before. */
export function writeFidelity(folder: string, report: Fidelity): Promise<void> {
  return writeWhole(join(folder, fidelityFile), `${JSON.stringify(report, null, 2)}\n`);
}
