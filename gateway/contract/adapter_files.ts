/** What a trained adapter's folder has beside PEFT's files, and what binds it to them. */
import { createHash } from 'node:crypto';

/** Finds the tokens that it was trained on (native/trace). */
export const traceIndexFile = 'trace.index';
/** A line that says of what (`CorpusHead`), then one for each example of the index, in its order: an `ExampleOrigin`. */
export const corpusFile = 'corpus.jsonl';
/** States and projected gradients of its examples (native/influence). */
export const influenceIndexFile = 'influence.index';
/** Its values at the checkpoints of that index before the last (plugins/training/influence_checkpoints.ts). */
export const influenceCheckpointsFile = 'influence.checkpoints';
/** All that says who taught it; an adapter need not have any. */
export const attributionFiles: readonly string[] = [
  corpusFile,
  influenceCheckpointsFile,
  influenceIndexFile,
  traceIndexFile,
];
/** How faithful what they say is, where somebody has measured it since: the method by which answers are settled. */
export const fidelityFile = 'fidelity.json';

export interface CorpusHead {
  format: 1;
  /** The adapter's hash. */
  adapter: string;
  /** "datanet:NAME@SNAPSHOT" */
  source: string;
  examples: number;
  /** The token that stands in the trace index for those that were read and not learned. */
  unlearned: number;
  /**
   * How much of a token's probability the base alone would have given it: the geometric mean over the held-out answers' tokens,
   * from 0 to 1. Absent: nothing was held out, or answers were compared and not learned.
   */
  base_share?: number;
}

/**
 * What identifies an adapter's content, hex: SHA-256 over the SHA-256 of its adapter_config.json and of its
 * adapter_model.safetensors (32 bytes each).
 */
export function adapterHash(config: Uint8Array, tensors: Uint8Array): string {
  return createHash('sha256').update('colophon-adapter-v1\0').update(config).update(tensors).digest('hex');
}
