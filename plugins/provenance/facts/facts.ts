/** All that a bundle is made of. Every document is a pure function of it. */
import type { Provider } from '../provider.ts';
import type { AdapterFacts } from './adapter.ts';
import { type SnapshotFacts, withdrawalsOf } from './snapshot.ts';

export interface Facts {
  adapter: AdapterFacts;
  /** Of the training data; null where these come from no Datanet, or from one that is no longer there. */
  snapshot: SnapshotFacts | null;
  /** What only the operator can say. */
  provider: Provider;
}

/** Unix seconds as RFC 3339 in UTC. */
export const timeOf = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
export const dayOf = (seconds: number) => timeOf(seconds).slice(0, 10);

/** When it was made: the end of its job, else its snapshot's time; undefined where neither is known. Unix seconds. */
export const madeAt = ({ adapter, snapshot }: Pick<Facts, 'adapter' | 'snapshot'>) =>
  adapter.job?.finishedAt ?? snapshot?.snapshot.createdAt;

/** A sentence for each contribution of which something was withdrawn since its snapshot was made, and the adapter with it. */
export function withdrawalSentences({ snapshot }: Pick<Facts, 'snapshot'>): string[] {
  if (!snapshot) return [];
  return withdrawalsOf(snapshot).map(({ record, state, examples, withdrawn }) => {
    const all = examples.train + examples.validation + examples.test;
    const what = `the contribution ${record.id} of ${record.contributor.name}`;
    return state === 'withdrawn'
      ? `Since the adapter learned from its snapshot, ${what} was withdrawn, of which it has ${all} examples.`
      : `Since the adapter learned from its snapshot, ${withdrawn} of the ${all} examples that it has of ${what} were withdrawn.`;
  });
}
