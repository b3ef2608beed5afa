/** What whoever trains on a snapshot should know of its splits. */
import type { Snapshot } from '../model.ts';
import { splits } from './split.ts';

const apartWords = {
  contributor: 'one contributor',
  source: 'one source',
  cluster: 'one near-duplicate cluster or group',
};

/**
 * A sentence for each split that is empty although it should have an example, or has less than half or more than twice of its
 * share: whole groups go to one split, so that a large one leaves the others without.
 */
export function splitWarnings({ settings, counts }: Pick<Snapshot, 'settings' | 'counts'>): string[] {
  return splits.flatMap((split) => {
    const wanted = settings.shares[split] * counts.examples;
    const has = counts.splits[split];
    if (wanted === 0 || (has >= Math.floor(wanted / 2) && has <= Math.ceil(wanted * 2) && has > 0)) return [];
    const what = has === 0 ? 'is empty' : `has ${has}`;
    return [
      `The split '${split}' ${what}, where a share of ${settings.shares[split]} of ${counts.examples} examples is ${Math.round(wanted * 10) / 10}: examples of ${apartWords[settings.apart]} are never in two splits. Accept more examples of others${settings.apart === 'cluster' ? '' : ", or keep apart less ('cluster')"}.`,
    ];
  });
}
