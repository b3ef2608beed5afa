/** The grammar of an answer that must be calls. */
import { type Grammar, type JsonGrammar, letters } from '../grammar/grammar.ts';
import { loosened, mapSchemas } from '../grammar/json_schema.ts';
import type { FunctionTool } from './tool.ts';
import type { ToolForm } from './tool_form.ts';

/** Text in which each call is one of one of the tools; undefined where the form of calls has no marker to know them by. */
export function strictCalls(
  tools: readonly FunctionTool[],
  { kind, marker, forced: { open, close }, argumentsKey }: ToolForm,
  several: boolean,
): Grammar | undefined {
  if (kind !== 'hermes') return undefined;
  return {
    kind: 'json-after',
    trigger: marker,
    schema: callsOf(tools, argumentsKey),
    open: open.slice(marker.length),
    close,
    again: several,
  };
}

/** One call of one of the tools, or with `several` one after another. */
export function forcedCalls(tools: readonly FunctionTool[], form: ToolForm, several: boolean): JsonGrammar {
  const { open, between, close } = form.forced;
  return {
    kind: 'json-within',
    schema: callsOf(tools, form.argumentsKey),
    open,
    close,
    ...(several ? { between } : {}),
  };
}

/** Schema of a call. */
function callsOf(tools: readonly FunctionTool[], argumentsKey: string): unknown {
  const definitions = Object.fromEntries(
    tools.map((tool, index) => [nameOf(index), parametersOf(tool, index)]),
  );
  const calls = tools.map(({ name }, index) => ({
    type: 'object',
    properties: { name: { const: name }, [argumentsKey]: { $ref: `#/$defs/${nameOf(index)}` } },
    required: ['name', argumentsKey],
    additionalProperties: false,
  }));
  return { anyOf: calls, $defs: definitions };
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
