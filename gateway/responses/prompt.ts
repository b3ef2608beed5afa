/** The tokens of a response's prompt: instructions and items in the model's template, cut to the context where that is asked for. */
import type { Served } from '../http/catalogue.ts';
import { leastTokens } from '../http/least_tokens.ts';
import { refuseHopeless } from '../http/token_budget.ts';
import type { ChatMessage, SpecialReading } from '../text/text_model.ts';
import type { ToolUse } from '../text/tools/index.ts';
import { type Item, messagesOf } from './items.ts';

export interface PromptRequest {
  served: Served;
  special: SpecialReading;
  instructions: string | null | undefined;
  items: readonly Item[];
  tools: ToolUse;
  truncate: boolean;
  /** Tokens that the answer is to have room for, where the prompt can be cut. */
  reserve: number;
}

export interface Prompt {
  tokens: number[];
  /** Those that it is made of: without the turns that were cut. */
  items: Item[];
}

/** Throws ColophonError where it does not fit. */
export async function makePrompt(request: PromptRequest): Promise<Prompt> {
  const { served, special, items, tools, truncate } = request;
  const context = served.card.maxModelLength;
  const options = { special, tools: tools.templateTools() };
  const messages = (kept: readonly Item[]) =>
    tools.messages(withInstructions(request.instructions, messagesOf(kept)));
  const encode = (kept: readonly Item[]) => served.encoder.encodeChat(messages(kept), options);
  const least = (kept: readonly Item[]) => leastTokens(served.text, bytesOf(messages(kept)));

  const cuts = truncate ? shorter(items) : [[...items]];
  const room = context - request.reserve;
  let from = 0;
  // What is absurdly long is cut before it is encoded.
  while (from < cuts.length - 1 && least(cuts[from]!) > room) from++;
  refuseHopeless(least(cuts[from]!), context, 'input');
  let best = await encode(cuts[from]!);
  let to = cuts.length - 1;
  if (best.length <= room || from === to) return { tokens: best, items: cuts[from]! };
  // The first of the cuts that fits lies behind `from`.
  best = await encode(cuts[to]!);
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    const tokens = await encode(cuts[middle]!);
    if (tokens.length <= room) [to, best] = [middle, tokens];
    else from = middle;
  }
  return { tokens: best, items: cuts[to]! };
}

/** The items, then with ever more of their oldest turns left out, to the last turn alone. What the system says stays. */
function shorter(items: readonly Item[]): Item[][] {
  const starts = items.flatMap((item, index) => (isFrom(item, 'user') ? [index] : []));
  const cuts = [[...items]];
  for (const start of starts) {
    const kept = items.filter((item, index) => index >= start || isFrom(item, 'system', 'developer'));
    if (kept.length < cuts.at(-1)!.length) cuts.push(kept);
  }
  return cuts;
}

function isFrom(item: Item, ...roles: string[]): boolean {
  return item.type === 'message' && roles.includes(item.role);
}

/** Many templates take one system message only, the first: instructions go before what it says. */
function withInstructions(instructions: string | null | undefined, messages: ChatMessage[]): ChatMessage[] {
  if (!instructions) return messages;
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: instructions }, ...messages];
  return [{ ...first, content: `${instructions}\n\n${first.content as string}` }, ...rest];
}

function bytesOf(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength((content as string | null) ?? ''), 0);
}
