/** Cases that a suite is made of, and what became of them. */

export interface Case {
  name: string;
  /** Throws where the server does not do what the case asks for. */
  run(): Promise<void>;
}

export type Outcome = 'passed' | 'failed' | 'skipped';

export interface CaseOutcome {
  name: string;
  outcome: Outcome;
  /** Of what did not pass. */
  why?: string;
}

/** Thrown by a case that does not apply, with the reason. */
export class Skip extends Error {}

/** Runs cases one after the other; a route that the server does not have is skipped, not failed. */
export async function runCases(cases: readonly Case[]): Promise<CaseOutcome[]> {
  const outcomes: CaseOutcome[] = [];
  for (const { name, run } of cases) {
    try {
      await run();
      outcomes.push({ name, outcome: 'passed' });
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      const absent = code === 'unknown_url' || code === 'method_not_allowed';
      outcomes.push({
        name,
        outcome: absent || error instanceof Skip ? 'skipped' : 'failed',
        why: oneLine(absent ? `The server has no such route: ${message}` : message),
      });
    }
  }
  return outcomes;
}

/** A reason on one line, not longer than a reader wants it. */
export function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 400 ? `${line.slice(0, 400)}…` : line;
}
