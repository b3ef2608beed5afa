/** The shape of a curation stage; each stage is a file beside this one, and pipeline.ts runs them in order. */
import type { Content, Datanet, StoredExample } from '../model.ts';
import type { CurationSettings } from './settings.ts';

export interface Item {
  example: StoredExample;
  content: Content;
}

/**
 * What a stage says of one example; nothing: it passes. Reasons never quote what an example says: they outlive its withdrawal.
 */
export interface Finding {
  seq: number;
  action: 'quarantine' | 'duplicate' | 'mask' | 'note';
  /** A sentence: what was found, where. */
  reason: string;
  canonical?: number;
  /** Of masks: what the content becomes. */
  content?: Content;
}

/** What a stage says of a batch. */
export interface Findings {
  findings: Finding[];
  /** For the report: how often something was seen ("email": 3). */
  counts?: Record<string, number>;
  /** For the report: values of which it gives the quantiles ("words": one number an example). */
  measures?: Record<string, number[]>;
}

/** What every stage is given, in a thread or not. */
export interface StageInput {
  settings: CurationSettings;
  /** Datanet.schema */
  schema: Datanet['schema'];
  /** See heldout_grams.ts; null: nothing is held out. */
  heldOut: HeldOutGrams | null;
}

/** Hashes of word n-grams of held-out texts, in memory that threads share. */
export interface HeldOutGrams {
  /** Words of the grams, ascending; the last is the usual one, the others are whole texts that are shorter. */
  lengths: number[];
  /** Open addressing, two words (64 bits) a gram; 0, 0: free. Its slots are a power of two. */
  table: Uint32Array;
}

/**
 * Stages that look at one example at a time are functions of it (`each`); those that compare examples see all batches in order and say
 * what they found in `end`. `state` of a comparing stage is rebuilt by seeing the batches again: a job that was cut goes on from the
 * beginning of its stage.
 */
export interface Stage {
  name: string;
  each?(items: Item[], input: StageInput): Findings | Promise<Findings>;
  compare?(input: StageInput): Comparison;
}

export interface Comparison {
  see(items: Item[]): void | Promise<void>;
  end(): Iterable<Findings> | AsyncIterable<Findings>;
}
