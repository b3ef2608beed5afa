/** What a request says about sampling, in the contract's terms. */
import { ColophonError, type Sampling } from '../contract/index.ts';
import type { SharedFields } from './fields.ts';
import { takeRandom64 } from './random_bytes.ts';

/** Missing fields have OpenAI's defaults. `vocabulary`: number of token ids. */
export function readSampling(body: SharedFields, vocabulary: number): Sampling {
  const sampling: Sampling = {
    temperature: body.temperature ?? 1,
    // A nucleus of no mass still holds the most likely token.
    topP: Math.max(body.top_p ?? 1, 1e-6),
    topK: Math.min(Math.max(body.top_k ?? 0, 0), vocabulary),
    minP: body.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    seed: readSeed(body.seed),
  };
  const logitBias = readLogitBias(body.logit_bias, vocabulary);
  if (logitBias) sampling.logitBias = logitBias;
  return sampling;
}

/** Choice `index` of a request draws its own numbers; with a seed, the same at every call. */
export function samplingOfChoice(sampling: Sampling, index: number): Sampling {
  return index === 0 ? sampling : { ...sampling, seed: BigInt.asUintN(64, sampling.seed + BigInt(index)) };
}

/** Ids must be tokens that the model has. */
export function checkTokenIds(ids: readonly number[], vocabulary: number, param: string): void {
  const at = ids.findIndex((id) => id >= vocabulary);
  if (at < 0) return;
  throw new ColophonError(
    `Invalid '${param}[${at}]': ${ids[at]} is not a token of the model, whose ids go from 0 to ${vocabulary - 1}.`,
    { param: `${param}[${at}]`, code: 'invalid_token_id' },
  );
}

function readSeed(seed: number | null | undefined): bigint {
  if (seed === undefined || seed === null) return takeRandom64();
  return BigInt.asUintN(64, BigInt(seed));
}

function readLogitBias(
  bias: Record<string, number> | null | undefined,
  vocabulary: number,
): Sampling['logitBias'] {
  if (!bias) return undefined;
  const entries = Object.entries(bias);
  if (entries.length === 0) return undefined;
  return entries.map(([key, value]) => {
    const id = /^\d{1,10}$/.test(key) ? Number(key) : Number.NaN;
    if (!(id < vocabulary)) {
      throw new ColophonError(
        `Invalid key in 'logit_bias': '${key.slice(0, 32)}' is not a token id of the model, which go from 0 to ${vocabulary - 1}.`,
        { param: 'logit_bias', code: 'invalid_token_id' },
      );
    }
    return [id, value];
  });
}
