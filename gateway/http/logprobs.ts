/** Log-probabilities in the shapes of OpenAI's two APIs and of vLLM. */
import type { TokenLogprob } from '../contract/index.ts';
import type { TextModel } from '../text/text_model.ts';

/** JSON has no -Infinity; OpenAI and vLLM write this instead. */
const impossible = -9999;

export interface TokenNaming {
  text: Pick<TextModel, 'tokenText' | 'tokenBytes' | 'detokenizer'>;
  /** "token_id:123" instead of the token's text. */
  asIds: boolean;
}

export interface ChatLogprob {
  token: string;
  logprob: number;
  bytes: number[];
}

/** choices[].logprobs of a chat completion. */
export function chatLogprobs(naming: TokenNaming, ids: readonly number[], logprobs: readonly TokenLogprob[]) {
  return {
    content: ids.map((id, index) => {
      const entry = logprobs[index]!;
      return {
        ...chatEntry(naming, id, entry.logprob),
        top_logprobs: entry.top.map((top) => chatEntry(naming, top.id, top.logprob)),
      };
    }),
    refusal: null,
  };
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: Array<number | null>;
  top_logprobs: Array<Record<string, number> | null>;
  text_offset: number[];
}

/** choices[].logprobs of a completion; a null entry is the first token of a prompt. */
export function completionLogprobs(
  naming: TokenNaming,
  ids: readonly number[],
  logprobs: ReadonlyArray<TokenLogprob | null>,
  offsets: readonly number[],
): CompletionLogprobs {
  return {
    tokens: ids.map((id) => tokenName(naming, id)),
    token_logprobs: ids.map((_, index) => (logprobs[index] ? finite(logprobs[index].logprob) : null)),
    top_logprobs: ids.map((id, index) => {
      const entry = logprobs[index];
      if (!entry) return null;
      const top: Record<string, number> = {};
      for (const { id: other, logprob } of [...entry.top, { id, logprob: entry.logprob }]) {
        // Two tokens can have one spelling; the likelier one, which comes first, keeps it.
        const name = tokenName(naming, other);
        if (!Object.hasOwn(top, name)) top[name] = finite(logprob);
      }
      return top;
    }),
    text_offset: [...offsets],
  };
}

/** vLLM's prompt_logprobs: for each prompt token, ids with their log-probability, rank and text. */
export function promptLogprobs(
  naming: TokenNaming,
  prompt: readonly number[],
  logprobs: ReadonlyArray<TokenLogprob | null>,
): Array<Record<string, { logprob: number; rank: number; decoded_token: string }> | null> {
  return prompt.map((id, index) => {
    const entry = logprobs[index];
    if (!entry) return null;
    const ranked = entry.top.map((top, at) => ({ ...top, rank: at + 1 }));
    if (!entry.top.some((top) => top.id === id))
      ranked.unshift({ id, logprob: entry.logprob, rank: entry.rank });
    return Object.fromEntries(
      ranked.map((top) => [
        String(top.id),
        { logprob: finite(top.logprob), rank: top.rank, decoded_token: tokenName(naming, top.id) },
      ]),
    );
  });
}

export function tokenName(naming: TokenNaming, id: number): string {
  return naming.asIds ? `token_id:${id}` : naming.text.tokenText(id);
}

function chatEntry(naming: TokenNaming, id: number, logprob: number): ChatLogprob {
  return { token: tokenName(naming, id), logprob: finite(logprob), bytes: naming.text.tokenBytes(id) };
}

function finite(logprob: number): number {
  return logprob > impossible ? logprob : impossible;
}
