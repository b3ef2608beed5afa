/** Lines of a training file as OpenAI's fine-tuning takes them, checked and turned into tokens. */
import { ColophonError, type ModelText, type TextMessage } from '../../gateway/contract/index.ts';
import type { PreferencePair, TrainingExample } from '../../native/binding/index.ts';
import type { Recipe } from './recipe.ts';

export type Item = TrainingExample | PreferencePair;

/** Fewer are no training, says OpenAI. */
const leastExamples = 10;
/** Longest line; a longer one is refused. */
const lineBytes = 8 * 2 ** 20;

export interface ReadOptions {
  text: ModelText;
  recipe: Pick<Recipe, 'method' | 'max_tokens'>;
  /** For messages: "training" or "validation". */
  what: string;
  least?: number;
  signal?: AbortSignal;
}

/** Reads a whole file: its examples and the number of each one's line. Throws ColophonError with OpenAI's codes, naming the line. */
export async function readItems(
  source: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): Promise<{ items: Item[]; lines: number[] }> {
  const { what, least = leastExamples } = options;
  const items: Item[] = [];
  const lines: number[] = [];
  for await (const { line, number } of linesOf(source, what)) {
    options.signal?.throwIfAborted();
    if (line.trim() === '') continue;
    items.push(itemOf(parse(line, number), number, options));
    lines.push(number);
  }
  if (items.length < least) {
    const name = what[0]!.toUpperCase() + what.slice(1);
    throw fault(
      'invalid_n_examples',
      `${name} file has ${items.length} example(s), but must have at least ${least} examples.`,
      what,
    );
  }
  return { items, lines };
}

async function* linesOf(source: AsyncIterable<Uint8Array>, what: string) {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = Buffer.alloc(0);
  let number = 0;
  const decode = (bytes: Uint8Array) => {
    number++;
    try {
      return { line: decoder.decode(bytes), number };
    } catch {
      throw fault('invalid_file_format', `Line ${number} is not UTF-8.`, what);
    }
  };
  for await (const chunk of source) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, from)) {
      yield decode(rest.subarray(from, end));
      from = end + 1;
    }
    rest = rest.subarray(from);
    if (rest.length > lineBytes)
      throw fault('invalid_file_format', `Line ${number + 1} is longer than ${lineBytes} bytes.`, what);
  }
  if (rest.length > 0) yield decode(rest);
}

function parse(line: string, number: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw fault('invalid_file_format', `Line ${number} is not JSON: ${(error as Error).message}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fault('invalid_file_format', `Line ${number} is not a JSON object.`);
  return value as Record<string, unknown>;
}

function itemOf(row: Record<string, unknown>, number: number, options: ReadOptions): Item {
  if (options.recipe.method === 'supervised') {
    const messages = messagesOf(row.messages, 'messages', number);
    return exampleOf(messages, toolsOf(row.tools, number), number, options);
  }
  const input = row.input as Record<string, unknown> | undefined;
  if (typeof input !== 'object' || input === null)
    throw fault('missing_input', `Line ${number} has no 'input' with the messages that both answers follow.`);
  const messages = messagesOf(input.messages, 'input.messages', number, false);
  const tools = toolsOf(input.tools, number);
  const side = (name: 'preferred_output' | 'non_preferred_output') =>
    exampleOf(
      [
        ...messages.map((message) => (message.role === 'assistant' ? { ...message, weight: 0 } : message)),
        ...messagesOf(row[name], name, number),
      ],
      tools,
      number,
      options,
    );
  return { preferred: side('preferred_output'), other: side('non_preferred_output') };
}

const roles = new Set(['system', 'developer', 'user', 'assistant', 'tool']);

function messagesOf(value: unknown, field: string, number: number, answers = true): TextMessage[] {
  const where = `on line ${number}`;
  if (!Array.isArray(value) || value.length === 0)
    throw fault('missing_messages_list', `'${field}' must be a list of messages ${where}.`);
  for (const [index, message] of value.entries()) {
    const at = `${field}[${index}]`;
    if (typeof message !== 'object' || message === null || Array.isArray(message))
      throw fault('invalid_message', `${at} must be an object ${where}.`);
    if (!roles.has(message.role))
      throw fault(
        'unrecognized_role',
        `${at}.role is ${JSON.stringify(message.role ?? null)} ${where}; it must be one of ${[...roles].join(', ')}.`,
      );
    const { content, weight, tool_calls: calls } = message;
    if (typeof content !== 'string' && !(content == null && Array.isArray(calls)) && !Array.isArray(content))
      throw fault('missing_content', `${at}.content must be text ${where}.`);
    if (weight === undefined) continue;
    if (message.role !== 'assistant')
      throw fault('invalid_weight', `${at} has a weight ${where}, which only assistant messages have.`);
    if (weight !== 0 && weight !== 1) throw fault('invalid_weight', `Weight must be either 0 or 1 ${where}.`);
  }
  if (answers && !value.some(({ role, weight }) => role === 'assistant' && weight !== 0))
    throw fault(
      'example_missing_assistant_message',
      `'${field}' has no assistant message to learn from ${where}.`,
    );
  return value;
}

function toolsOf(value: unknown, number: number): unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return value;
  throw fault('invalid_tools', `'tools' must be a list on line ${number}.`);
}

/**
 * A conversation's tokens, and of them those to learn: each assistant message with a weight other than 0, to the token that
 * ends it. Longer ones than the recipe allows are cut at their end.
 */
function exampleOf(
  messages: TextMessage[],
  tools: unknown[] | undefined,
  number: number,
  { text, recipe }: ReadOptions,
): TrainingExample {
  const shown = messages.map(({ weight, ...message }) => message as TextMessage);
  const withTools = tools ? { tools } : {};
  const whole = text.encodeChat(shown, { addGenerationPrompt: false, ...withTools }).ids;
  const weights = new Float32Array(whole.length);
  const ends = new Set(text.endTokenIds);
  for (const [index, message] of messages.entries()) {
    if (message.role !== 'assistant' || message.weight === 0) continue;
    const before = text.encodeChat(shown.slice(0, index), { addGenerationPrompt: true, ...withTools }).ids;
    if (before.some((id, at) => id !== whole[at]))
      throw fault(
        'unsupported_chat_template',
        `The model's chat template writes what comes before message ${index} of line ${number} otherwise when an answer follows, so that its tokens cannot be told from the others.`,
      );
    let end = before.length;
    while (end < whole.length && !ends.has(whole[end]!)) end++;
    weights.fill(1, before.length, Math.min(end + 1, whole.length));
  }
  const tokens = Int32Array.from(whole.slice(0, recipe.max_tokens));
  return { tokens, weights: weights.slice(0, recipe.max_tokens) };
}

function fault(code: string, sentence: string, what?: string): ColophonError {
  return new ColophonError(sentence, { code, param: what ? `${what}_file` : 'training_file' });
}
