/** What an adapter's influence index says of an answer, where its fidelity report lets it. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { influenceIndexFile } from '../../gateway/contract/index.ts';
import { type InfluenceMethod, type NativeInfluenceIndex, native } from '../../native/binding/index.ts';
import type { InfluenceEvidence } from './shares/evidence.ts';
import { standOut } from './shares/noise.ts';

/** The report whose `chosen` is the method that foretells best what leaving an example out changes; null: none is better than words. */
const fidelityFile = 'fidelity.json';

/** For an adapter whose fidelity nobody has measured: docs/attribution.md says why. */
export const defaultMethod: InfluenceMethod = 'repsim';

export class Influence {
  readonly index: NativeInfluenceIndex;
  /** Of the second level. */
  readonly method: InfluenceMethod;

  private constructor(index: NativeInfluenceIndex, method: InfluenceMethod) {
    this.index = index;
    this.method = method;
  }

  /** Undefined where there is none, or none is to be used. Rejects with a sentence where it is damaged or another adapter's. */
  static async open(folder: string, adapter: string): Promise<Influence | undefined> {
    const path = join(folder, influenceIndexFile);
    if (!(await stat(path).catch(() => undefined))) return undefined;
    const report = await readFile(join(folder, fidelityFile), 'utf8').catch(() => undefined);
    const chosen = report === undefined ? defaultMethod : JSON.parse(report).chosen;
    if (chosen === null) return undefined;
    const index = native().openInfluenceIndex(path, adapter);
    await index.check();
    return new Influence(index, chosen);
  }

  /** By how like the answer's state is to the examples' own: what generating gives for nothing. */
  async byState(state: Float32Array, deviations: number): Promise<InfluenceEvidence> {
    const scores = await this.index.scores('repsim', { rows: 1, states: state });
    return { method: 'repsim', scores: standOut(scores, deviations) };
  }
}
