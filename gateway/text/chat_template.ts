import { Template } from '@huggingface/jinja';
import { LRUCache } from 'lru-cache';
import { ColophonError, type TextDefinition } from '../contract/index.ts';
import { shieldSpecials } from './shield.ts';

/** A message of a chat, as OpenAI spells it. */
export interface ChatMessage {
  role: string;
  content?: string | null | Array<{ type: string; text?: string; [key: string]: unknown }>;
  [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** Ends the text where the assistant's answer begins. Default true, unless the final message is continued. */
  addGenerationPrompt?: boolean;
  tools?: unknown[];
  /** Ends the text inside the final message, which the model then continues. Default false. */
  continueFinalMessage?: boolean;
  /** Instead of the model's own; a caller that takes it from a client trusts that client with the turns. */
  chatTemplate?: string;
  /** More variables for the template. */
  templateArguments?: Record<string, unknown>;
}

/** A rendered chat in which `restore` gives special-token strings of the input their characters back. */
export interface RenderedChat {
  text: string;
  restore(text: string): string;
  /** Whether restore changes anything. */
  shielded: boolean;
}

const templates = new LRUCache<string, Template>({ max: 64 });

/** Renders messages with a chat template. Failures are ColophonErrors that say what the template objects to. */
export class ChatTemplate {
  readonly #template: string | undefined;
  readonly #specialVariables: Record<string, string>;
  readonly #specials: string[];

  /** `specials`: the strings of the special tokens. */
  constructor(definition: TextDefinition, specials: string[]) {
    this.#template = definition.chatTemplate;
    this.#specialVariables = specialVariables(definition.tokenizerConfig);
    this.#specials = specials;
  }

  /** `shield`: make the special-token strings of all input unrecognisable until `restore`. */
  render(messages: ChatMessage[], options: ChatTemplateOptions, shield: boolean): RenderedChat {
    const source = options.chatTemplate ?? this.#template;
    if (source === undefined) {
      throw new ColophonError(
        'The model has no chat template; give one as chat_template, or use /v1/completions.',
        {
          param: 'messages',
        },
      );
    }
    const continued = options.continueFinalMessage === true;
    if (continued && options.addGenerationPrompt === true) {
      throw new ColophonError(
        'continue_final_message and add_generation_prompt exclude each other; set one of them.',
        {
          param: 'continue_final_message',
        },
      );
    }
    const template = parse(source, options.chatTemplate !== undefined);
    const input = {
      messages: messages.map(normalizeMessage),
      tools: options.tools && options.tools.length > 0 ? options.tools : null,
      arguments: options.templateArguments ?? {},
    };
    try {
      const shielded = shieldSpecials(input, shield ? this.#specials : [], source);
      const marker = continued ? shielded.unused() : '';
      const shown = continued ? markFinalMessage(shielded.value.messages, marker) : shielded.value.messages;
      const text = template.render({
        documents: null,
        ...this.#specialVariables,
        ...shielded.value.arguments,
        messages: shown,
        tools: shielded.value.tools,
        add_generation_prompt: continued ? false : (options.addGenerationPrompt ?? true),
      });
      return {
        text: continued ? cutAtMarker(text, marker) : text,
        restore: shielded.restore,
        shielded: shielded.changed,
      };
    } catch (error) {
      if (error instanceof ColophonError) throw error;
      // What a template says with raise_exception comes here too.
      const why = error instanceof Error ? error.message : String(error);
      const sentence = `The chat template does not take these messages: ${why}`;
      throw new ColophonError(sentence, { param: 'messages', cause: error });
    }
  }
}

function parse(source: string, fromClient: boolean): Template {
  let template = templates.get(source);
  if (!template) {
    try {
      template = new Template(source);
    } catch (error) {
      throw new ColophonError(
        `The ${fromClient ? 'given' : "model's"} chat template is not valid Jinja: ${(error as Error).message}`,
        fromClient ? { param: 'chat_template', cause: error } : { type: 'server_error', cause: error },
      );
    }
    templates.set(source, template);
  }
  return template;
}

/** bos_token and its like, as templates know them. */
function specialVariables(config: Record<string, unknown>): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const name of [
    'bos_token',
    'eos_token',
    'unk_token',
    'pad_token',
    'sep_token',
    'cls_token',
    'mask_token',
  ]) {
    const value = config[name];
    if (typeof value === 'string') variables[name] = value;
    else if (value && typeof (value as { content?: unknown }).content === 'string') {
      variables[name] = (value as { content: string }).content;
    }
  }
  return variables;
}

/** Templates expect content as a string, and tool calls with their arguments as an object. */
function normalizeMessage(message: ChatMessage, index: number): Record<string, unknown> {
  const normalized: Record<string, unknown> = { ...message, content: contentText(message, index) };
  if (Array.isArray(message.tool_calls)) normalized.tool_calls = message.tool_calls.map(withParsedArguments);
  return normalized;
}

function contentText(message: ChatMessage, index: number): string {
  const { content } = message;
  if (content === undefined || content === null) return '';
  if (typeof content === 'string') return content;
  const param = `messages[${index}].content`;
  if (!Array.isArray(content)) {
    throw new ColophonError(`${param} is neither a string nor a list of parts.`, { param });
  }
  return content
    .map((part, at) => {
      if (typeof part?.text === 'string' && (part.type === 'text' || part.type === undefined))
        return part.text;
      throw new ColophonError(
        `${param}[${at}] has the type ${JSON.stringify(part?.type ?? null)}; this model reads text parts only.`,
        { param: `${param}[${at}]` },
      );
    })
    .join('\n');
}

function withParsedArguments(call: unknown): unknown {
  const called = (call as { function?: { arguments?: unknown } } | null)?.function;
  if (typeof called?.arguments !== 'string') return call;
  try {
    return {
      ...(call as object),
      function: { ...called, arguments: JSON.parse(called.arguments) as unknown },
    };
  } catch {
    return call; // not JSON: the template gets the string as it came
  }
}

function markFinalMessage(
  messages: Array<Record<string, unknown>>,
  marker: string,
): Array<Record<string, unknown>> {
  const final = messages.at(-1);
  if (!final)
    throw new ColophonError('There is no final message to continue; messages is empty.', {
      param: 'messages',
    });
  return [...messages.slice(0, -1), { ...final, content: `${String(final.content)}${marker}` }];
}

function cutAtMarker(text: string, marker: string): string {
  const end = text.lastIndexOf(marker);
  if (end < 0) {
    throw new ColophonError('The chat template does not show the final message, so it cannot be continued.', {
      param: 'continue_final_message',
    });
  }
  return text.slice(0, end);
}
