/** The grammar of an answer that must be calls. */
import { type JsonGrammar, letters } from '../grammar/grammar.ts';
import { loosened, mapSchemas } from '../grammar/json_schema.ts';
import type { FunctionTool } from './tool.ts';
import type { ToolForm } from './tool_form.ts';

/** One call of one of the tools, or with `several` one after another. */
export function forcedCalls(tools: readonly FunctionTool[], form: ToolForm, several: boolean): JsonGrammar {
  const definitions = Object.fromEntries(
    tools.map((tool, index) => [nameOf(index), parametersOf(tool, index)]),
  );
  const calls = tools.map(({ name }, index) => ({
    type: 'object',
    properties: { name: { const: name }, [form.argumentsKey]: { $ref: `#/$defs/${nameOf(index)}` } },
    required: ['name', form.argumentsKey],
    additionalProperties: false,
  }));
  const { open, between, close } = form.forced;
  return {
    kind: 'json-within',
    schema: { anyOf: calls, $defs: definitions },
    open,
    close,
    ...(several ? { between } : {}),
  };
}

/** Schema of what a tool takes. Where the tool is not strict, what no mask can enforce is left out. */
export function argumentsSchema(tool: FunctionTool): Record<string, unknown> {
  const schema = tool.parameters ?? { properties: {}, additionalProperties: false };
  return { type: 'object', ...((tool.strict ? schema : loosened(schema)) as object) };
}

/** Its references to its own root go to where it stands now. */
function parametersOf(tool: FunctionTool, index: number): unknown {
  return movedTo(`#/$defs/${nameOf(index)}`, argumentsSchema(tool));
}

function movedTo(place: string, schema: unknown): unknown {
  if (schema === null || typeof schema !== 'object' || Array.isArray(schema)) return schema;
  const moved = mapSchemas(schema as Record<string, unknown>, (inner) => movedTo(place, inner));
  const { $ref: reference } = moved;
  const own = typeof reference === 'string' && /^#(\/|$)/.test(reference);
  return own ? { ...moved, $ref: place + reference.slice(1) } : moved;
}

function nameOf(index: number): string {
  return `tool_${letters(index)}`;
}
