/** The attributor that this plugin gives: answers are followed while they are made, and settled after their end. */
import type { Attributor, FollowedGeneration } from '../../gateway/contract/index.ts';
import { type Again, sharesOf } from './again.ts';
import type { Corpora, Corpus } from './corpus.ts';
import { AnswerFollowing, type Unattributed } from './following.ts';
import type { Records } from './records.ts';
import type { Settling } from './settling.ts';

export interface AttributorRooms {
  corpora: Corpora;
  records: Records;
  settling: Settling;
  again: Again;
  /** Tokens of the shortest span. */
  spanTokens: number;
}

export function createAttributor(rooms: AttributorRooms): Attributor {
  const { corpora, records, settling, again, spanTokens } = rooms;
  const corpusOf = async ({
    root,
    contentHash,
  }: FollowedGeneration['model']): Promise<Corpus | Unattributed> => {
    try {
      if (!contentHash) throw new Error('Its backend does not tell what the content of its adapter is.');
      return await corpora.of(root, contentHash);
    } catch (error) {
      return { reason: (error as Error).message };
    }
  };
  return {
    async follow(generation) {
      const corpus = await corpusOf(generation.model);
      return new AnswerFollowing(generation, corpus, spanTokens, (answer) => records.add(answer));
    },
    async settled(response, choice) {
      const first = await settling.first(response, choice);
      if (!first) return undefined;
      return {
        ...sharesOf(first.settlement),
        ...(first.reason === null ? {} : { unattributed: first.reason }),
      };
    },
    again,
  };
}
