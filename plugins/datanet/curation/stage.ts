/** The shape of a curation stage; each stage is a file beside this one, and pipeline.ts runs them in order. */
import type { Content, Datanet } from '../model.ts';
import type { LanguageTables } from './language_tables.ts';
import type { CurationSettings } from './settings.ts';

export interface Item {
  seq: number;
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
  /** null: the stage `language` is off. */
  languages: LanguageTables | null;
}

/** Hashes of word n-grams of held-out texts, in memory that threads share. */
export interface HeldOutGrams {
  /** Words of the grams, ascending; the last is the usual one, the others are whole texts that are shorter. */
  lengths: number[];
  /** Open addressing, two words (64 bits) a gram; 0, 0: free. Its slots are a power of two. */
  table: Uint32Array;
}

/** A stage that looks at one example at a time: what it says of one never hangs on the others. */
export interface Stage {
  name: string;
  each(items: Item[], input: StageInput): Findings | Promise<Findings>;
}

/** A stage that compares examples: it sees all in their order, and says at the end what it found. */
export interface Comparison {
  name: string;
  see(items: Item[]): Promise<void>;
  end(): Iterable<Findings>;
}
