/** Rows whose contribution has a licence that the Datanet's policy forbids: policies change after contributions came. */
import type { StoredExample } from '../model.ts';
import type { Finding } from './stage.ts';

/** What is wrong with a contribution's licence, as a sentence; null: nothing. */
export type LicenceFault = (contribution: string) => Promise<string | null>;

/** Each contribution is asked about once. */
export function licence(faultOf: LicenceFault): (examples: StoredExample[]) => Promise<Finding[]> {
  const faults = new Map<string, Promise<string | null>>();
  return async (examples) => {
    const findings: Finding[] = [];
    for (const { seq, contribution } of examples) {
      let fault = faults.get(contribution);
      if (!fault) {
        fault = faultOf(contribution);
        faults.set(contribution, fault);
      }
      const reason = await fault;
      if (reason !== null) findings.push({ seq, action: 'quarantine', reason });
    }
    return findings;
  };
}
