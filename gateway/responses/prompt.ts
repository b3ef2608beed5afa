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

  const cuts = new Cuts(items, truncate);
  const room = context - request.reserve;
  // What is absurdly long is cut before it is encoded.
  const first = await smallest(0, cuts.last, async (cut) => least(cuts.at(cut)) <= room);
  refuseHopeless(least(cuts.at(first)), context, 'input');
  let tokens: number[] = [];
  let encoded = -1;
  const fits = async (cut: number) => {
    tokens = await encode(cuts.at(cut));
    encoded = cut;
    return tokens.length <= room;
  };
  const cut = (await fits(first)) ? first : await smallest(Math.min(first + 1, cuts.last), cuts.last, fits);
  if (encoded !== cut) tokens = await encode(cuts.at(cut));
  return { tokens, items: cuts.at(cut) };
}

/** The first number of a range of which `holds` is true, and then of all after it; the last one where it is true of none. */
async function smallest(
  from: number,
  last: number,
  holds: (at: number) => Promise<boolean>,
): Promise<number> {
  let [low, high] = [from, last];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (await holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The items, then with ever more of their oldest turns left out, to the last turn alone. What the system says stays. */
class Cuts {
  readonly #items: readonly Item[];
  /** Where turns begin that can be the first. */
  readonly #starts: number[];

  constructor(items: readonly Item[], truncate: boolean) {
    this.#items = items;
    const turns = items.flatMap((item, index) => (isFrom(item, 'user') ? [index] : []));
    this.#starts = truncate ? [0, ...turns.filter((start) => start > 0)] : [0];
  }

  get last(): number {
    return this.#starts.length - 1;
  }

  at(cut: number): Item[] {
    const start = this.#starts[cut]!;
    return this.#items.filter((item, index) => index >= start || isFrom(item, 'system', 'developer'));
  }
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
