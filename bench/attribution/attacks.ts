/** What whoever cheats gains by it, in a small world of contributors (plugins/attribution/shares/testing). */
import { gainsOf, settlements } from '../../plugins/attribution/shares/testing/attacks.ts';
import { honestWorld, usualSize } from '../../plugins/attribution/shares/testing/world.ts';
import { say } from '../lib/main.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';

/** Answers of each world, and how many worlds. */
const answers = 30;

/** The most that any attack is paid over honest behaviour, by spans, by influence and by both; each in so many worlds. */
export function attackCase(worlds: number): CaseResult {
  let most = 0;
  for (let seed = 1; seed <= worlds; seed++) {
    const world = honestWorld(seed, { ...usualSize, answers });
    for (const [how, settlement] of Object.entries(settlements)) {
      const gains = gainsOf(world, ['contributor-2', 'contributor-5'], settlement);
      const best = gains.reduce((a, b) => (b.gain > a.gain ? b : a));
      say(`By ${how} the best attack is ${best.name}: ${best.gain.toFixed(3)} times honest pay.`);
      most = Math.max(most, best.gain);
    }
  }
  return caseResult('attack-gain-max', 'x', most, {});
}
