/** What whoever cheats gains by it, in small worlds of contributors (plugins/attribution/shares/testing). */
import { gainsOf, settlements } from '../../plugins/attribution/shares/testing/attacks.ts';
import { honestWorld, usualSize } from '../../plugins/attribution/shares/testing/world.ts';
import { say } from '../lib/main.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';

/** Of each world. */
const answers = 30;
const attackers = [1, 3, 5, 7].map((number) => `contributor-${number}`);

/** The most that any attack is paid over honest behaviour: as shares are settled, and by spans or influence alone. */
export function attackCase(worlds: number): CaseResult {
  const all = Array.from({ length: worlds }, (_, seed) => honestWorld(seed + 1, { ...usualSize, answers }));
  const most: Record<string, number> = {};
  for (const [how, settlement] of Object.entries(settlements)) {
    const gains = gainsOf(all, attackers, settlement);
    for (const { name, gain } of gains) say(`By ${how}, ${name}: ${gain.toFixed(3)}`);
    most[how] = Math.max(...gains.map(({ gain }) => gain));
  }
  const { 'spans and influence': ours, spans, influence } = most;
  return caseResult('attack-gain-max', 'x', ours, { spans: spans!, influence: influence! });
}
