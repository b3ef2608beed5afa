/** Kronfluence (PyPI) on the same adapter, examples and queries, in a process of its own. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeItems } from '../../plugins/training/data_file.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { say } from '../lib/main.ts';
import { peftEnvironment } from '../lib/peft_environment.ts';
import type { FidelityData } from './data.ts';
import { once, type Scored } from './methods.ts';
import { adapterOf, type Setting } from './retrains.ts';

/** By the peer's name in the table, Kronfluence's strategy: EK-FAC's inverse curvature, or none (products of gradients). */
export const strategies = { 'kronfluence-ekfac': 'ekfac', 'kronfluence-identity': 'identity' } as const;
/** Seconds. */
const limit = 14_400;

/** It keeps no gradients of the examples: those of all are computed again for each call, and answers come one at a time. */
export function peerScores(
  setting: Setting,
  { train, queries }: FidelityData,
  peer: keyof typeof strategies,
): Promise<Scored> {
  return once(setting.folder, `scores-${peer}`, async () => {
    await peftEnvironment.setUp();
    const folder = join(setting.folder, peer);
    mkdirSync(folder, { recursive: true });
    const config = {
      model: setting.gguf,
      adapter: await adapterOf(setting, 'full'),
      train: join(folder, 'train.bin'),
      queries: join(folder, 'queries.bin'),
      strategy: strategies[peer],
      threads: setting.threads,
      folder,
      output: join(folder, 'result.json'),
    };
    writeFileSync(config.train, encodeItems(train.examples));
    writeFileSync(config.queries, encodeItems(queries.examples));
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const script = join(root, 'bench', 'attribution', 'kronfluence_scores.py');
    const child = new Child(peftEnvironment.tool('python'), [script, join(folder, 'config.json')], {
      env: { OMP_NUM_THREADS: String(setting.threads), TOKENIZERS_PARALLELISM: 'false', HF_HUB_OFFLINE: '1' },
    });
    await child.output(limit);
    const result = JSON.parse(readFileSync(config.output, 'utf8'));
    const { scores, fit_seconds: fit, score_seconds: all, one_query_seconds: alone } = result;
    const shown = (seconds: number) => `${seconds.toFixed(1)} s`;
    say(
      `${peer}: its factors took ${shown(fit)}, all ${queries.examples.length} queries in one call ${shown(all)}, one alone ${shown(alone)}.`,
    );
    return { scores, secondsPerQuery: alone };
  });
}
