/** What an adapter's influence index says of an answer, as far as its fidelity report lets it. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { influenceIndexFile } from '../../gateway/contract/index.ts';
import { type InfluenceMethod, type NativeInfluenceIndex, native } from '../../native/binding/index.ts';
import { readInfluenceCheckpoints } from '../training/influence_checkpoints.ts';
import { type Fidelity, readFidelity } from './fidelity/fidelity_file.ts';
import { isSure } from './fidelity/report.ts';
import type { InfluenceEvidence } from './shares/evidence.ts';
import { standOut } from './shares/noise.ts';

/** What generating gives for nothing. */
const byStates = 'repsim';

/** By gradients, of what every index has: what foretold best where it was measured (docs/attribution.md). */
const byGradients = 'trak';

/** Methods of the two levels; null: spans alone. */
export interface Methods {
  first: InfluenceMethod | null;
  second: InfluenceMethod | null;
}

/**
 * The second level's is the report's choice, the first's `repsim` where that itself is surely better than words. Of an adapter that
 * nobody has measured both are those that were the best elsewhere.
 */
function methodsOf(report: Fidelity | undefined): Methods {
  if (!report) return { first: byStates, second: byGradients };
  const { chosen, methods } = report;
  const states = methods.find(({ method }) => method === byStates);
  return { first: chosen !== null && states && isSure(states) ? byStates : null, second: chosen };
}

export class Influence {
  readonly index: NativeInfluenceIndex;
  readonly methods: Methods;

  private constructor(index: NativeInfluenceIndex, methods: Methods) {
    this.index = index;
    this.methods = methods;
  }

  /** Undefined where there is none. Rejects with a sentence where it, or its report, is damaged or another adapter's. */
  static async open(folder: string, adapter: string): Promise<Influence | undefined> {
    const path = join(folder, influenceIndexFile);
    if (!(await stat(path).catch(() => undefined))) return undefined;
    const methods = methodsOf(await readFidelity(folder, adapter));
    const index = native().openInfluenceIndex(path, adapter);
    await index.check();
    // Read again by the process that settles by gradients: what is wrong with it is said with what is wrong with the index.
    await readInfluenceCheckpoints(folder, adapter);
    return new Influence(index, methods);
  }

  /** By how like the answer's state is to the examples' own. */
  async byState(state: Float32Array, deviations: number): Promise<InfluenceEvidence> {
    const scores = await this.index.scores(byStates, { rows: 1, states: state });
    return { method: byStates, scores: standOut(scores, deviations) };
  }
}
