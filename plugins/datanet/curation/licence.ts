/** Rows whose contribution has a licence that the Datanet's policy forbids: policies change after contributions came. */
import type { Finding, Stage } from './stage.ts';

/** `problemOf` says what is wrong with a contribution's licence, in a sentence; null: nothing. */
export function licence(problemOf: (contribution: string) => Promise<string | null>): Stage {
  const problems = new Map<string, Promise<string | null>>();
  return {
    name: 'licence',
    async each(items) {
      const findings: Finding[] = [];
      for (const { example } of items) {
        let problem = problems.get(example.contribution);
        if (!problem) {
          problem = problemOf(example.contribution);
          problems.set(example.contribution, problem);
        }
        const reason = await problem;
        if (reason !== null) findings.push({ seq: example.seq, action: 'quarantine', reason });
      }
      return { findings };
    },
  };
}
