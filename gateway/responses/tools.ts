/** Tools of a response: functions that the model may call. Those that OpenAI runs itself are not there. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { FunctionTool, ToolChoice } from '../text/tools/index.ts';

const tool = Type.Object({
  type: Type.String(),
  name: maybe(Type.String()),
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

export interface AskedTools {
  /** Those that the choice allows. */
  tools: FunctionTool[];
  choice: ToolChoice;
  parallel: boolean;
}

/** Throws ColophonError that names the tool at fault. */
export function readTools(body: ToolFields): AskedTools {
  const tools = (body.tools ?? []).map((given, index) => readTool(given, `tools[${index}]`));
  tools.forEach(({ name }, index) => {
    if (tools.findIndex((other) => other.name === name) < index) {
      throw invalid(`tools[${index}].name`, `There are two tools of the name '${name}'. Give each its own.`);
    }
  });
  return { parallel: body.parallel_tool_calls ?? true, ...readChoice(body.tool_choice ?? 'auto', tools) };
}

function readTool(given: Static<typeof tool>, at: string): FunctionTool {
  if (given.type !== 'function') {
    throw new ColophonError(
      `Tools of the type '${given.type.slice(0, 100)}' are not supported. Send tools of the type 'function', which you run yourself.`,
      { param: `${at}.type`, code: 'unsupported_value' },
    );
  }
  const { name, description, parameters, strict } = given;
  if (name === undefined || name === null) {
    throw new ColophonError(`Missing required parameter: '${at}.name'.`, {
      param: `${at}.name`,
      code: 'missing_required_parameter',
    });
  }
  if (!/^[a-zA-Z0-9_-]{1,64}$/.test(name)) {
    throw invalid(
      `${at}.name`,
      `Invalid '${at}.name': '${name.slice(0, 100)}'. Use 1 to 64 of the letters a-z and A-Z, digits, '_' and '-'.`,
    );
  }
  return {
    name,
    ...(description ? { description } : {}),
    ...(parameters ? { parameters } : {}),
    strict: strict ?? false,
  };
}

function readChoice(
  given: NonNullable<ToolFields['tool_choice']>,
  tools: FunctionTool[],
): Pick<AskedTools, 'tools' | 'choice'> {
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
