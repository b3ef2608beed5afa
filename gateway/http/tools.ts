/** Tools as a chat completion names them, today's and those that OpenAI had before (`functions`), in the gateway's terms. */

import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { deeperThan } from '../schema/depth.ts';
import { maybe } from '../schema/nullable.ts';
import { enforceable } from '../text/grammar/json_schema.ts';
import {
  argumentsSchema,
  type FunctionTool,
  type ToolChoice,
  ToolUse,
  toolsOfTemplate,
} from '../text/tools/index.ts';
import type { Served } from './catalogue.ts';
import { missing } from './missing.ts';
import type { Structure } from './structured.ts';

/** Levels of JSON in a tool's parameters. */
const deepest = 128;

const functionName = Type.String({ minLength: 1, maxLength: 64 });

/** A function that may be called. */
export const functionField = Type.Object({
  name: functionName,
  description: maybe(Type.String()),
  parameters: maybe(Type.Record(Type.String(), Type.Unknown())),
  strict: maybe(Type.Boolean()),
});

const named = Type.Object({ name: functionName });
const chosen = Type.Object({ type: Type.String(), function: maybe(named) });

export const toolFields = {
  tools: maybe(
    Type.Array(Type.Object({ type: Type.String(), function: maybe(functionField) }), { maxItems: 128 }),
  ),
  tool_choice: maybe(
    Type.Union([
      Type.Enum(['none', 'auto', 'required']),
      Type.Object({
        type: Type.String(),
        function: maybe(named),
        allowed_tools: maybe(
          Type.Object({ mode: Type.Enum(['auto', 'required']), tools: Type.Array(chosen, { minItems: 1 }) }),
        ),
      }),
    ]),
  ),
  parallel_tool_calls: maybe(Type.Boolean()),
  functions: maybe(Type.Array(functionField, { maxItems: 128 })),
  function_call: maybe(Type.Union([Type.Enum(['none', 'auto']), named])),
};

const shape = Type.Object(toolFields);

export type ToolFields = Static<typeof shape>;

export interface ToolRequest {
  use: ToolUse;
  /** Answered as `function_call`, as it was asked for. */
  legacy: boolean;
}

/** What a request says of tools. Throws ColophonError, naming the field at fault. */
export function readTools(body: ToolFields, served: Served): ToolRequest {
  const legacy = nonEmpty(body.functions);
  if (legacy && nonEmpty(body.tools)) {
    throw invalid('functions', "'functions' and 'tools' are two names of one thing. Give 'tools' alone.");
  }
  const { tools, param } = legacy ? oldTools(body) : newTools(body);
  const { tools: offered, choice } = legacy ? oldChoice(body, tools) : newChoice(body, tools);
  const forced = choice !== 'none' && choice !== 'auto';
  tools.forEach((tool, index) => {
    checkParameters(tool, forced && offered.includes(tool), `${param(index)}.parameters`);
  });
  if (forced && !served.backend.constrains) {
    throw new ColophonError(
      `The backend of '${served.card.id}' cannot force a call; '${legacy ? 'function_call' : 'tool_choice'}' can only be "none" or "auto".`,
      { param: legacy ? 'function_call' : 'tool_choice', code: 'unsupported_parameter' },
    );
  }
  const parallel = legacy ? false : (body.parallel_tool_calls ?? true);
  const { chatTemplate: template } = served.text;
  const use = new ToolUse({ tools: offered, choice, parallel, template, strict: keepsStrict(served) });
  return { use, legacy };
}

/** Whether calls of a model that chooses can be kept to schemas: no mask allows a marker that is a special token. */
export function keepsStrict({ backend, text }: Served): boolean {
  const { form } = toolsOfTemplate(text.chatTemplate);
  return (backend.constrains ?? false) && !text.isSpecial(form.marker);
}

/** The form that calls and an answer's own form give it together. `asked`: what the request says of the answer. */
export function structureWithTools(
  { use, legacy }: ToolRequest,
  asked: Structure | undefined,
  body: { ignore_eos?: boolean | null },
): Structure | undefined {
  if (!use.active) return asked;
  const param = legacy ? 'functions' : 'tools';
  const form = asked?.grammar;
  if (asked && asked.grammar.kind !== 'json') {
    throw invalid(asked.param, `'${asked.param}' cannot be combined with '${param}'. Leave one of them out.`);
  }
  const calls = use.grammar();
  if (calls) {
    if (body.ignore_eos) {
      throw invalid(
        'ignore_eos',
        "'ignore_eos' cannot be combined with a call that is forced: it has to end.",
      );
    }
    return { grammar: calls, param, severalCalls: 'between' in calls };
  }
  // The model may call, or give an answer of the form.
  if (!asked || form?.kind !== 'json') {
    const strict = body.ignore_eos ? undefined : use.strictGrammar();
    return strict && { grammar: strict, param };
  }
  return { grammar: { kind: 'either', of: [form, use.possibleCalls()] }, param: asked.param };
}

interface NamedTools {
  tools: FunctionTool[];
  /** The field of the function at `index`. */
  param(index: number): string;
}

function newTools(body: ToolFields): NamedTools {
  const param = (index: number) => `tools[${index}].function`;
  const tools = (body.tools ?? []).map(({ type, function: given }, index) => {
    if (type !== 'function') {
      throw new ColophonError(`Tools of type '${type.slice(0, 64)}' are not supported; 'function' is.`, {
        param: `tools[${index}].type`,
        code: 'unsupported_parameter',
      });
    }
    if (!given) throw missing(param(index));
    return readFunction(given);
  });
  checkNames(tools, param);
  return { tools, param };
}

function oldTools(body: ToolFields): NamedTools {
  const param = (index: number) => `functions[${index}]`;
  const tools = (body.functions ?? []).map(readFunction);
  checkNames(tools, param);
  return { tools, param };
}

/** A function as any of OpenAI's APIs spells it. */
export function readFunction(given: Static<typeof functionField>): FunctionTool {
  return {
    name: given.name,
    description: given.description ?? undefined,
    parameters: given.parameters ?? undefined,
    strict: given.strict ?? undefined,
  };
}

/** `param`: the field of the function at an index. */
export function checkNames(tools: readonly FunctionTool[], param: (index: number) => string): void {
  const seen = new Map<string, number>();
  tools.forEach(({ name }, index) => {
    const at = `${param(index)}.name`;
    if (!/^[a-zA-Z0-9_-]+$/.test(name)) {
      throw invalid(
        at,
        `Invalid '${at}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`,
      );
    }
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      throw invalid(at, `Invalid '${at}': ${param(earlier)} has the name '${name}' too. Names must differ.`);
    }
    seen.set(name, index);
  });
}

/** `forced`: a grammar will be made of it. */
export function checkParameters(tool: FunctionTool, forced: boolean, param: string): void {
  const refuse = (why: string) => {
    throw new ColophonError(`Invalid schema for function '${tool.name}': ${why}`, {
      param,
      code: 'invalid_function_parameters',
    });
  };
  const type = tool.parameters?.type;
  if (type !== undefined && type !== 'object') {
    refuse(
      `schema must be a JSON Schema of 'type: "object"', got 'type: ${JSON.stringify(type).slice(0, 100)}'.`,
    );
  }
  // It is printed into the prompt, whatever it says.
  if (deeperThan(deepest, tool.parameters)) refuse(`it is nested deeper than ${deepest} levels.`);
  if (!forced) return;
  try {
    enforceable(argumentsSchema(tool));
  } catch (error) {
    refuse((error as Error).message);
  }
}

interface Chosen {
  /** Those that may be called. */
  tools: FunctionTool[];
  choice: ToolChoice;
}

function newChoice(body: ToolFields, tools: FunctionTool[]): Chosen {
  const given = body.tool_choice ?? 'auto';
  if (typeof given === 'string') {
    if (given === 'required' && tools.length === 0) throw withoutTools();
    return { tools, choice: given };
  }
  if (given.type === 'allowed_tools') {
    if (!given.allowed_tools) throw missing('tool_choice.allowed_tools');
    const { mode, tools: allowed } = given.allowed_tools;
    if (tools.length === 0) throw withoutTools();
    const names = allowed.map(({ function: chosen }, index) => {
      const param = `tool_choice.allowed_tools.tools[${index}].function`;
      if (!chosen) throw missing(param);
      return find(tools, chosen.name, `${param}.name`).name;
    });
    return { tools: tools.filter(({ name }) => names.includes(name)), choice: mode };
  }
  if (given.type !== 'function') {
    throw invalid(
      'tool_choice.type',
      `Invalid value for 'tool_choice.type': ${JSON.stringify(given.type.slice(0, 64))}. Expected one of 'function', 'allowed_tools'.`,
    );
  }
  if (!given.function) throw missing('tool_choice.function');
  if (tools.length === 0) throw withoutTools();
  return {
    tools,
    choice: { name: find(tools, given.function.name, 'tool_choice.function.name').name },
  };
}

function oldChoice(body: ToolFields, tools: FunctionTool[]): Chosen {
  const given = body.function_call ?? 'auto';
  if (typeof given === 'string') return { tools, choice: given };
  return { tools, choice: { name: find(tools, given.name, 'function_call.name').name } };
}

function find(tools: readonly FunctionTool[], name: string, param: string): FunctionTool {
  const tool = tools.find((one) => one.name === name);
  if (tool) return tool;
  throw invalid(param, `Invalid value for '${param}': no tool of this request is named '${name}'.`);
}

function withoutTools(): ColophonError {
  return invalid('tool_choice', "'tool_choice' is only allowed when 'tools' are specified.");
}

function invalid(param: string, sentence: string): ColophonError {
  return new ColophonError(sentence, { param, code: 'invalid_value' });
}

function nonEmpty(list: unknown[] | null | undefined): boolean {
  return list !== undefined && list !== null && list.length > 0;
}
