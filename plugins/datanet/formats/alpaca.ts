/** Alpaca: `{"instruction": "...", "input": "...", "output": "..."}`, with the `system` and `history` that LLaMA-Factory added. */
import type { Example, Message } from '../model.ts';
import { filledText, optionalText, origin, originKeys, refuseUnknownKeys } from './fields.ts';
import type { JsonObject } from './json_row.ts';
import { quote, Refusal } from './refusal.ts';

/** `text` is what the first Alpaca has besides: the same row in its template. */
export const alpacaKeys = ['instruction', 'input', 'output', 'system', 'history', 'text'];

export function readAlpaca(row: JsonObject): Example {
  refuseUnknownKeys(row, [...alpacaKeys, ...originKeys], '', 'Row');
  const instruction = filledText(row.instruction, 'instruction', 'Instruction');
  const input = optionalText(row.input, 'input', 'Input');
  const system = optionalText(row.system, 'system', 'System');
  const messages: Message[] = [
    ...(system ? [{ role: 'system' as const, content: system }] : []),
    ...readHistory(row.history),
    { role: 'user', content: input ? `${instruction}\n\n${input}` : instruction },
    { role: 'assistant', content: filledText(row.output, 'output', 'Output') },
  ];
  return { content: { messages }, ...origin(row) };
}

/** Pairs of what was said and answered before. */
function readHistory(value: unknown): Message[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Refusal('history', 'History must be a list', `, not ${quote(value)}`);
  return value.flatMap((pair, i): Message[] => {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new Refusal(`history[${i}]`, 'History must have pairs of texts', `, not ${quote(pair)}`);
    }
    return [
      { role: 'user', content: filledText(pair[0], `history[${i}][0]`, 'Question') },
      { role: 'assistant', content: filledText(pair[1], `history[${i}][1]`, 'Answer') },
    ];
  });
}
