/** The texts in an example's content, wherever they are: messages, tool calls, tools. */
import type { Content, Message } from '../model.ts';

/** Keys whose strings are not text: to change one would break the example. */
const notText = new Set(['role', 'type', 'id', 'tool_call_id', 'name']);

/** Every text with its path, "messages[1].content". */
export function textsOf(content: Content): Array<{ path: string; text: string }> {
  const texts: Array<{ path: string; text: string }> = [];
  mapTexts(content, (text, path) => {
    texts.push({ path, text });
    return text;
  });
  return texts;
}

/** The content with each text as `change` has it; the very same object where nothing changed. */
export function mapTexts(content: Content, change: (text: string, path: string) => string): Content {
  return map(content, '', change) as Content;
}

function map(value: unknown, path: string, change: (text: string, path: string) => string): unknown {
  if (typeof value === 'string') return change(value, path);
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    let changed: unknown[] | undefined;
    for (const [index, part] of value.entries()) {
      const becomes = map(part, `${path}[${index}]`, change);
      if (becomes !== part) {
        changed ??= [...value];
        changed[index] = becomes;
      }
    }
    return changed ?? value;
  }
  let changed: Record<string, unknown> | undefined;
  for (const [key, part] of Object.entries(value)) {
    if (typeof part === 'string' && notText.has(key)) continue;
    const becomes = map(part, path === '' ? key : `${path}.${key}`, change);
    if (becomes !== part) {
      changed ??= { ...value };
      changed[key] = becomes;
    }
  }
  return changed ?? value;
}

/**
 * What makes an example different from others: all but system messages and tools, which whole contributions have in common and by which
 * every two rows of them would look the same.
 */
export function ownText(content: Content): string {
  if ('text' in content) return content.text;
  if ('prompt' in content) return `${content.prompt}\n${content.completion}`;
  if ('messages' in content) return said(content.messages);
  return [content.input.messages, content.preferred_output, content.non_preferred_output]
    .map(said)
    .join('\n');
}

function said(messages: Message[]): string {
  const own = messages.filter(({ role }) => role !== 'system' && role !== 'developer');
  return own
    .flatMap((message) => textsOf({ messages: [message] }))
    .map(({ text }) => text)
    .join('\n');
}
