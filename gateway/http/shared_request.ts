/** What chat completions and completions make of the fields they share. */
import { type Caller, generateAs } from '../access/callers.ts';
import { ColophonError, type GenerateRequest } from '../contract/index.ts';
import type { Served } from './catalogue.ts';
import type { ChoiceRequest } from './choice.ts';
import type { SharedFields } from './fields.ts';
import { checkMetadata } from './metadata.ts';
import { takeRandomHex } from './random_bytes.ts';
import { checkTokenIds, readSampling, samplingOfChoice } from './sampling.ts';
import type { Structure } from './structured.ts';

/** Checks that a schema cannot say. */
export function checkShared(body: SharedFields, maxTokens: number | null | undefined, caller: Caller): void {
  generateAs(caller, body);
  checkMetadata(body.metadata);
  if (body.stream_options && !body.stream) {
    throw new ColophonError("The 'stream_options' parameter is only allowed when 'stream' is enabled.", {
      param: 'stream_options',
      code: 'invalid_value',
    });
  }
  if (body.prompt_logprobs && body.stream) {
    throw new ColophonError("'prompt_logprobs' are not available when 'stream' is enabled.", {
      param: 'prompt_logprobs',
      code: 'invalid_value',
    });
  }
  const least = body.min_tokens ?? 0;
  if (typeof maxTokens === 'number' && least > maxTokens) {
    throw new ColophonError(`'min_tokens' is ${least}, more than the ${maxTokens} that may be generated.`, {
      param: 'min_tokens',
      code: 'invalid_value',
    });
  }
}

/** The choices of one prompt, ready to run. */
export function choicesOf(
  body: SharedFields,
  served: Served,
  prompt: number[],
  options: {
    caller: Caller;
    maxTokens: number;
    logprobs: number | undefined;
    promptLogprobs: number | undefined;
    first?: number;
    structure: Structure | undefined;
  },
): ChoiceRequest[] {
  const { vocabularySize } = served.text;
  const { structure } = options;
  if (structure && !served.backend.constrains) {
    throw new ColophonError(
      `The backend of '${body.model}' cannot keep an answer to a form; leave '${structure.param}' out.`,
      { param: structure.param, code: 'unsupported_parameter' },
    );
  }
  const stopTokenIds = body.stop_token_ids ?? [];
  checkTokenIds(stopTokenIds, vocabularySize, 'stop_token_ids');
  const sampling = readSampling(body, vocabularySize);
  const promptOnly = options.maxTokens === 0;
  const stop = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  const as = generateAs(options.caller, body);
  const choices: ChoiceRequest[] = [];
  for (let index = 0; index < (body.n ?? 1); index++) {
    const generate: GenerateRequest = {
      model: body.model,
      prompt,
      maxTokens: Math.max(options.maxTokens, 1),
      minTokens: Math.min(body.min_tokens ?? 0, options.maxTokens),
      ignoreEnd: body.ignore_eos ?? false,
      stopTokenIds,
      sampling: samplingOfChoice(sampling, (options.first ?? 0) + index),
      ...as,
    };
    if (options.logprobs !== undefined) generate.logprobs = options.logprobs;
    // They are the same for all choices of a prompt, and cost its whole computation: no cache holds them. A stream shows
    // each choice as it comes, with the prompt before it.
    if (options.promptLogprobs !== undefined && (index === 0 || body.stream))
      generate.promptLogprobs = options.promptLogprobs;
    const choice: ChoiceRequest = {
      backend: served.backend,
      text: served.text,
      adapter: served.card.parent !== null,
      generate,
      stop,
      includeStop: body.include_stop_str_in_output ?? false,
      skipSpecial: body.skip_special_tokens ?? true,
      promptOnly,
      endAtRepeatedCall: structure?.severalCalls ?? false,
    };
    if (structure && !promptOnly) {
      const { grammar, param } = structure;
      choice.structure = { grammar, constrain: () => served.grammars.constrain(grammar, param) };
    }
    choices.push(choice);
  }
  return choices;
}

/** What all parts of an answer carry. */
export interface Envelope {
  id: string;
  created: number;
  model: string;
  system_fingerprint: string | null;
}

export function envelopeOf(prefix: 'chatcmpl' | 'cmpl', body: SharedFields, served: Served): Envelope {
  const hash = served.card.contentHash;
  return {
    id: `${prefix}-${takeRandomHex(15)}`,
    created: Math.floor(Date.now() / 1000),
    model: body.model,
    system_fingerprint: hash ? `fp_${hash.slice(0, 10)}` : null,
  };
}

/** The tier that answered, for those who ask. */
export function serviceTier(body: SharedFields): { service_tier?: 'default' } {
  return body.service_tier ? { service_tier: 'default' } : {};
}
