/** What tools mean for one answer: what the model is told of them, what it may write, and how that is read. */
import { createHash } from 'node:crypto';
import type { ChatMessage } from '../chat_template.ts';
import type { Grammar, JsonGrammar } from '../grammar/grammar.ts';
import { forcedCalls, strictCalls } from './forced_calls.ts';
import type { FunctionTool, ToolChoice } from './tool.ts';
import { ToolCallReader } from './tool_call_reader.ts';
import { type ToolForm, toolsOfTemplate } from './tool_form.ts';

export interface ToolUseOptions {
  tools: readonly FunctionTool[];
  choice: ToolChoice;
  /** More than one call in an answer. */
  parallel: boolean;
  /** The model's chat template. */
  template: string | undefined;
  /** Calls of strict tools can be kept to their schemas where the model chooses. Default false. */
  strict?: boolean;
}

interface PastCall {
  id?: string;
  function: { name: string; arguments: string };
}

export class ToolUse {
  /** Those that the model may call. */
  readonly tools: readonly FunctionTool[];
  readonly choice: ToolChoice;
  readonly #parallel: boolean;
  readonly #strict: boolean;
  readonly #form: ToolForm;
  /** The template writes tools, calls and their results itself. */
  readonly #native: boolean;

  constructor({ tools, choice, parallel, template, strict = false }: ToolUseOptions) {
    this.tools = choice === 'none' ? [] : tools;
    this.choice = tools.length === 0 ? 'none' : choice;
    this.#parallel = parallel;
    this.#strict = strict && this.tools.some((tool) => tool.strict);
    const { form, native } = toolsOfTemplate(template);
    this.#form = form;
    this.#native = native;
  }

  /** Whether calls are looked for in the answer. */
  get active(): boolean {
    return this.tools.length > 0;
  }

  /** Begins a call: a text that must not be lost where it is a special token. */
  get marker(): string {
    return this.#form.marker;
  }

  /** What the chat template gets as `tools`; nothing where it does not know them. */
  templateTools(): unknown[] {
    return this.#native ? this.tools.map(described) : [];
  }

  /** Messages, past calls (`tool_calls`) and results (role `tool`) among them, as the chat template takes them. */
  messages(messages: readonly ChatMessage[]): ChatMessage[] {
    if (this.#native) return this.#form.kind === 'mistral' ? messages.map(withShortIds) : [...messages];
    const written = messages.some(({ role, tool_calls: calls }) => role === 'tool' || calls !== undefined)
      ? withoutTools(messages)
      : [...messages];
    return this.active ? instructed(written, this.#instructions()) : written;
  }

  /** Keeps the answer to calls where the choice demands it. Arguments keep to the schemas of the parameters. */
  grammar(): Grammar | undefined {
    const { choice } = this;
    if (choice === 'none' || choice === 'auto') return undefined;
    if (choice === 'required') return forcedCalls(this.tools, this.#form, this.#parallel);
    return forcedCalls(
      this.tools.filter((tool) => tool.name === choice.name),
      this.#form,
      false,
    );
  }

  /**
   * Keeps the calls of a model that chooses to their schemas, where a tool is strict and the form of calls lets it: masks
   * for all of an answer, which is slower than none.
   */
  strictGrammar(): Grammar | undefined {
    if (this.choice !== 'auto' || !this.#strict) return undefined;
    return strictCalls(this.#loose(), this.#form, this.#parallel);
  }

  /** Calls as they may be where the model chooses: for a form of answers that lets them stand in its place. */
  possibleCalls(): JsonGrammar {
    return forcedCalls(this.#loose(), this.#form, this.#parallel);
  }

  /** A schema that cannot be enforced is no reason to refuse what may not be called at all. */
  #loose(): FunctionTool[] {
    return this.tools.map((tool) => ({ ...tool, strict: false }));
  }

  /** Reads one answer. */
  reader(): ToolCallReader {
    return new ToolCallReader({
      form: this.#form,
      names: new Set(this.tools.map((tool) => tool.name)),
      parallel: this.#parallel,
      forced: this.choice !== 'none' && this.choice !== 'auto',
    });
  }

  /** In the words that Hermes' and Qwen's models were trained on. */
  #instructions(): string {
    const lines = [
      '# Tools',
      '',
      'You may call one or more functions to assist with the user query.',
      '',
      'You are provided with function signatures within <tools></tools> XML tags:',
      '<tools>',
      ...this.tools.map((tool) => spaced(described(tool))),
      '</tools>',
      '',
      'For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:',
      '<tool_call>',
      '{"name": <function-name>, "arguments": <args-json-object>}',
      '</tool_call>',
    ];
    if (!this.#parallel) lines[2] = 'You may call one function to assist with the user query.';
    return lines.join('\n');
  }
}

/** JSON with the spaces that templates' `tojson` writes, and models know. */
function spaced(value: unknown): string {
  return JSON.stringify(value, null, 1)
    .replace(/,\n\s*/g, ', ')
    .replace(/\n\s*/g, '');
}

/** A tool in OpenAI's JSON, which templates print. */
function described({ name, description, parameters }: FunctionTool): unknown {
  return {
    type: 'function',
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  };
}

/** Calls as text of the assistant's, results of a turn as one message of the user's. */
function withoutTools(messages: readonly ChatMessage[]): ChatMessage[] {
  const written: ChatMessage[] = [];
  let results: string[] | undefined;
  for (const { tool_calls: calls, tool_call_id: _id, ...message } of messages) {
    if (message.role === 'tool') {
      const result = `<tool_response>\n${textOf(message.content)}\n</tool_response>`;
      if (!results) {
        results = [];
        written.push({ role: 'user', content: '' });
      }
      results.push(result);
      written.at(-1)!.content = results.join('\n');
      continue;
    }
    results = undefined;
    if (!Array.isArray(calls) || calls.length === 0) {
      written.push(message);
      continue;
    }
    const texts = (calls as PastCall[]).map(
      ({ function: { name, arguments: given } }) =>
        `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${given.trim() || '{}'}}\n</tool_call>`,
    );
    const text = textOf(message.content);
    written.push({ ...message, content: [...(text === '' ? [] : [text]), ...texts].join('\n') });
  }
  return written;
}

function textOf(content: ChatMessage['content']): string {
  if (content === undefined || content === null) return '';
  return typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('\n');
}

function instructed(messages: ChatMessage[], instructions: string): ChatMessage[] {
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: instructions }, ...messages];
  return [{ ...first, content: `${textOf(first.content)}\n\n${instructions}` }, ...rest];
}

/** Mistral's templates take ids of nine letters and digits only. */
function withShortIds(message: ChatMessage): ChatMessage {
  const short = (id: unknown) =>
    typeof id === 'string' && !/^[a-zA-Z0-9]{9}$/.test(id)
      ? createHash('sha256').update(id).digest('hex').slice(0, 9)
      : id;
  const { tool_calls: calls, tool_call_id: id } = message;
  return {
    ...message,
    ...(id === undefined ? {} : { tool_call_id: short(id) }),
    ...(Array.isArray(calls)
      ? { tool_calls: (calls as PastCall[]).map((call) => ({ ...call, id: short(call.id) })) }
      : {}),
  };
}
