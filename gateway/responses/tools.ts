/** Tools of a response: functions that the model may call. Those that OpenAI runs itself are not there. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import type { Served } from '../http/catalogue.ts';
import { checkNames, checkParameters, keepsStrict, readFunction } from '../http/tools.ts';
import { maybe } from '../schema/nullable.ts';
import { type FunctionTool, type ToolChoice, ToolUse } from '../text/tools/index.ts';

const tool = Type.Object({
  type: Type.String(),
  name: maybe(Type.String({ minLength: 1, maxLength: 64 })),
  description: maybe(Type.String()),
  parameters: maybe(Type.Record(Type.String(), Type.Unknown())),
  strict: maybe(Type.Boolean()),
});

const choice = Type.Object({
  type: Type.String(),
  name: maybe(Type.String()),
  mode: maybe(Type.Enum(['auto', 'required'])),
  tools: maybe(
    Type.Array(Type.Object({ type: Type.String(), name: maybe(Type.String()) }), { maxItems: 128 }),
  ),
});

export const toolFields = {
  tools: maybe(Type.Array(tool, { maxItems: 128 })),
  tool_choice: maybe(Type.Union([Type.Enum(['none', 'auto', 'required']), choice])),
  parallel_tool_calls: maybe(Type.Boolean()),
};

const shape = Type.Object(toolFields);

export type ToolFields = Static<typeof shape>;

/** Throws ColophonError that names the tool at fault. */
export function readTools(body: ToolFields, served: Served): ToolUse {
  const tools = (body.tools ?? []).map((given, index) => readTool(given, `tools[${index}]`));
  checkNames(tools, (index) => `tools[${index}]`);
  const { tools: allowed, choice } = readChoice(body.tool_choice ?? 'auto', tools);
  const forced = choice !== 'none' && choice !== 'auto';
  tools.forEach((tool, index) => {
    checkParameters(tool, forced && allowed.includes(tool), `tools[${index}].parameters`);
  });
  if (forced && !served.backend.constrains) {
    throw new ColophonError(
      `The backend of '${served.card.id}' cannot force a call; 'tool_choice' can only be "none" or "auto".`,
      { param: 'tool_choice', code: 'unsupported_parameter' },
    );
  }
  const parallel = body.parallel_tool_calls ?? true;
  const { chatTemplate: template } = served.text;
  return new ToolUse({ tools: allowed, choice, parallel, template, strict: keepsStrict(served) });
}

function readTool(given: Static<typeof tool>, at: string): FunctionTool {
  if (given.type !== 'function') {
    throw new ColophonError(
      `Tools of the type '${given.type.slice(0, 100)}' are not supported. Send tools of the type 'function', which you run yourself.`,
      { param: `${at}.type`, code: 'unsupported_value' },
    );
  }
  const { name } = given;
  if (name !== undefined && name !== null) return readFunction({ ...given, name });
  throw new ColophonError(`Missing required parameter: '${at}.name'.`, {
    param: `${at}.name`,
    code: 'missing_required_parameter',
  });
}

interface Chosen {
  /** Those that may be called. */
  tools: FunctionTool[];
  choice: ToolChoice;
}

function readChoice(given: NonNullable<ToolFields['tool_choice']>, tools: FunctionTool[]): Chosen {
  const param = 'tool_choice';
  const known = (name: string | null | undefined, at: string) => {
    if (name && tools.some((one) => one.name === name)) return name;
    throw invalid(at, `Tool choice '${name ?? ''}' not found in 'tools' parameter.`);
  };
  if (typeof given === 'string') {
    if (given === 'required' && tools.length === 0) {
      throw invalid(param, "'tool_choice' is 'required', but there are no tools. Give some in 'tools'.");
    }
    return { tools, choice: given };
  }
  if (given.type === 'function') {
    return { tools, choice: { name: known(given.name, `${param}.name`) } };
  }
  if (given.type === 'allowed_tools') {
    const names = (given.tools ?? []).map(({ name }, index) => known(name, `${param}.tools[${index}].name`));
    if (names.length === 0)
      throw invalid(`${param}.tools`, `'${param}.tools' names no tool. Name at least one.`);
    return { tools: tools.filter(({ name }) => names.includes(name)), choice: given.mode ?? 'auto' };
  }
  throw new ColophonError(
    `A tool choice of the type '${given.type.slice(0, 100)}' is not supported. Use 'none', 'auto', 'required', or the type 'function' or 'allowed_tools'.`,
    { param: `${param}.type`, code: 'unsupported_value' },
  );
}

/** Tools as the response tells them back. */
export function toolsJson(body: ToolFields) {
  return (body.tools ?? []).map(({ type, name, description, parameters, strict }) => ({
    type,
    name,
    description: description ?? null,
    parameters: parameters ?? null,
    strict: strict ?? false,
  }));
}

function invalid(param: string, sentence: string): ColophonError {
  return new ColophonError(sentence, { param, code: 'invalid_value' });
}
