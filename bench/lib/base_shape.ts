/** The shape of a base that synthetic adapters are made for. */
import { native } from '../../native/binding/index.ts';
import { UsageError } from './arguments.ts';
import type { BaseShape } from './synthetic_adapters.ts';

/** Read from a GGUF file's metadata. */
export async function baseShapeOf(path: string): Promise<BaseShape> {
  const metadata = await native().readGgufMetadata(path);
  const number = (key: string) => {
    const value = metadata[`llama.${key}`];
    if (typeof value !== 'number')
      throw new UsageError(`${path} has no llama.${key}; this bench knows bases of the Llama family.`);
    return value;
  };
  const heads = number('attention.head_count');
  const hidden = number('embedding_length');
  const tokens = metadata['tokenizer.ggml.tokens'];
  return {
    layers: number('block_count'),
    hidden,
    heads,
    kvHeads: number('attention.head_count_kv'),
    headDim: Number(metadata['llama.attention.key_length'] ?? hidden / heads),
    feedForward: number('feed_forward_length'),
    vocabulary: Array.isArray(tokens) ? tokens.length : number('vocab_size'),
  };
}
