/** The shape of a curation stage; each stage is a file beside this one, and pipeline.ts runs them in order. */
import type { Content, StoredExample } from '../model.ts';

export interface Item {
  example: StoredExample;
  content: Content;
}

/** What a stage says of one example; nothing: it passes. */
export interface Finding {
  seq: number;
  action: 'quarantine' | 'duplicate' | 'mask' | 'note';
  /** A sentence: what was found, where. */
  reason: string;
  canonical?: number;
  /** Of masks: what the content becomes. */
  content?: Content;
}

/**
 * Stages that look at one example at a time are pure functions of it (`each`), run in worker threads; those that compare
 * (duplicates, contamination) see all batches in order and say what they found in `end`. `state` of a comparing stage is rebuilt by
 * seeing the batches again: a job that was cut goes on from the beginning of its stage.
 */
export interface Stage<Settings = unknown> {
  name: string;
  each?(items: Item[], settings: Settings): Finding[] | Promise<Finding[]>;
  compare?(settings: Settings): {
    see(items: Item[]): void | Promise<void>;
    end(): AsyncIterable<Finding[]> | Iterable<Finding[]>;
  };
}
