/** /v1/completions: from OpenAI's JSON to choices that can run. */
import { type Static, Type } from 'typebox';
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { Served } from './catalogue.ts';
import type { ChoiceRequest } from './choice.ts';
import { ignoredFields, lengthFields, modelField, outputFields, samplingFields, tokenId } from './fields.ts';
import { leastTokens } from './least_tokens.ts';
import { refusedInCompletions, refuseUnsupported } from './refused.ts';
import { checkTokenIds } from './sampling.ts';
import { checkShared, choicesOf } from './shared_request.ts';
import { readStructure, structureFields } from './structured.ts';
import { refuseHopeless, tokenBudget } from './token_budget.ts';

/** Prompts of one request, and choices of all of them together. */
const promptsAtMost = 2048;
const choicesAtMost = 2048;

export const promptField = Type.Union(
  [
    Type.String(),
    Type.Array(Type.String(), { minItems: 1, maxItems: promptsAtMost }),
    Type.Array(tokenId, { minItems: 1 }),
    Type.Array(Type.Array(tokenId, { minItems: 1 }), { minItems: 1, maxItems: promptsAtMost }),
  ],
  { description: 'A text, token ids, or a list of either.' },
);

export const completionBody = Type.Object({
  model: modelField,
  prompt: promptField,
  max_tokens: maybe(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1, description: 'Default 16.' })),
  logprobs: maybe(Type.Integer({ minimum: 0, maximum: 20 })),
  echo: maybe(Type.Boolean()),
  add_special_tokens: maybe(Type.Boolean()),
  ...samplingFields,
  ...lengthFields,
  ...outputFields,
  ...structureFields,
  ...ignoredFields,
});

export type CompletionBody = Static<typeof completionBody>;

export interface Prompt {
  /** What `echo` repeats: the text as it was given, or what the ids say. */
  text: () => string;
  ids: number[];
}

export interface CompletionRequest {
  prompts: Prompt[];
  /** For each prompt in turn, `perPrompt` of them. */
  choices: ChoiceRequest[];
  perPrompt: number;
}

export async function readCompletionRequest(
  body: CompletionBody,
  served: Served,
  caller: Caller,
): Promise<CompletionRequest> {
  refuseUnsupported(body, refusedInCompletions);
  const structure = readStructure(body);
  checkShared(body, body.max_tokens, caller);
  if (body.echo && body.prompt_logprobs && body.stream) {
    throw new ColophonError("'prompt_logprobs' are not available when 'stream' is enabled.", {
      param: 'prompt_logprobs',
    });
  }
  const prompts = await readPrompts(body, served);
  const perPrompt = body.n ?? 1;
  if (prompts.length * perPrompt > choicesAtMost) {
    throw new ColophonError(
      `${prompts.length} prompts with n = ${perPrompt} make ${prompts.length * perPrompt} choices; ${choicesAtMost} is the most that one request may ask for.`,
      { param: 'n', code: 'too_many_choices' },
    );
  }
  const logprobs = body.logprobs ?? undefined;
  const promptLogprobs = body.prompt_logprobs ?? (body.echo ? logprobs : undefined);
  const choices = prompts.flatMap((prompt, index) => {
    const maxTokens = tokenBudget({
      promptTokens: prompt.ids.length,
      asked: body.max_tokens ?? undefined,
      fallback: Math.max(16, body.min_tokens ?? 0),
      context: served.card.maxModelLength,
      param: 'prompt',
    });
    return choicesOf(body, served, prompt.ids, {
      caller,
      maxTokens,
      logprobs,
      promptLogprobs,
      first: index * perPrompt,
      structure,
    });
  });
  return { prompts, choices, perPrompt };
}

/**
 * The prompts of a body. Here special-token strings are special tokens: the caller writes the whole prompt, template and
 * all, as with transformers and vLLM.
 */
export async function readPrompts(
  body: Pick<CompletionBody, 'prompt' | 'add_special_tokens' | 'skip_special_tokens'>,
  served: Served,
): Promise<Prompt[]> {
  const { prompt } = body;
  const single = typeof prompt === 'string' || typeof prompt[0] === 'number';
  const all = (single ? [prompt] : prompt) as Array<string | number[]>;
  const texts = all.filter((item) => typeof item === 'string');
  for (const text of texts) {
    const least = leastTokens(served.text, Buffer.byteLength(text));
    refuseHopeless(least, served.card.maxModelLength, 'prompt');
  }
  const encoded = await served.encoder.encode(texts, {
    special: 'parse',
    addBos: body.add_special_tokens ?? true,
  });
  return all.map((item, index) => {
    const param = single ? 'prompt' : `prompt[${index}]`;
    if (typeof item === 'string') {
      // Prompts are all texts or all ids.
      const ids = encoded[index]!;
      if (ids.length > 0) return { ids, text: () => item };
      throw new ColophonError(
        `Invalid '${param}': the prompt is empty; there must be at least one token to continue.`,
        {
          param,
          code: 'empty_prompt',
        },
      );
    }
    checkTokenIds(item, served.text.vocabularySize, param);
    return {
      ids: item,
      text: () => served.text.decode(item, { skipSpecial: body.skip_special_tokens ?? true }),
    };
  });
}
