/** How a model writes calls. Its chat template tells: it says so in its instructions, and shows past calls in that form. */
import { LRUCache } from 'lru-cache';

export interface ToolForm {
  kind: 'hermes' | 'mistral' | 'llama';
  /** Begins a call in the midst of text. */
  marker: string;
  /** May stand after a call. */
  end: string | undefined;
  /** Where arguments are, beside the name. */
  argumentsKey: 'arguments' | 'parameters';
  /** What is around and between calls that a grammar forces. */
  forced: { open: string; between: string; close: string };
}

/** `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`, as Hermes, Qwen and many small models do. */
const hermes: ToolForm = {
  kind: 'hermes',
  marker: '<tool_call>',
  end: '</tool_call>',
  argumentsKey: 'arguments',
  forced: { open: '<tool_call>\n', between: '\n</tool_call>\n<tool_call>\n', close: '\n</tool_call>' },
};

/**
 * `[TOOL_CALLS][{"name": …, "arguments": …}, …]`, later `[TOOL_CALLS]name[ARGS]{…}`. The marker is a special token, which no
 * grammar can ask for: calls that are forced are the bare list.
 */
const mistral: ToolForm = {
  kind: 'mistral',
  marker: '[TOOL_CALLS]',
  end: undefined,
  argumentsKey: 'arguments',
  forced: { open: '[', between: ', ', close: ']' },
};

/** The whole answer is `{"name": …, "parameters": …}`, which a `<|python_tag|>` may precede; several with `; ` between. */
const llama: ToolForm = {
  kind: 'llama',
  marker: '<|python_tag|>',
  end: undefined,
  argumentsKey: 'parameters',
  forced: { open: '', between: '; ', close: '' },
};

/** What a chat template says of tools. */
export interface TemplateTools {
  form: ToolForm;
  /** It writes tools, calls and their results itself. */
  native: boolean;
}

const known = new LRUCache<string, TemplateTools>({ max: 64 });

/** Of a model without a template, too; Hermes' form where nothing is said of calls. */
export function toolsOfTemplate(template = ''): TemplateTools {
  let tools = known.get(template);
  if (!tools) {
    tools = { form: formOf(template), native: /\btools\b/.test(template) };
    known.set(template, tools);
  }
  return tools;
}

function formOf(template: string): ToolForm {
  if (template.includes('<tool_call>')) return hermes;
  if (template.includes('[TOOL_CALLS]')) return mistral;
  if (template.includes('<|python_tag|>') || /\\?"parameters\\?": /.test(template)) return llama;
  return hermes;
}
