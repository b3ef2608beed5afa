/** Which schemas can be enforced: a keyword that xgrammar would pass over is refused, not ignored. */

type Schema = Record<string, unknown>;

/** Keywords that no mask enforces, and what to do instead. */
const refused: Record<string, string> = {
  allOf: 'Write the schema as one; only an allOf of a single schema can be enforced.',
  not: 'Say what is allowed.',
  if: 'Use anyOf.',
  dependentRequired: 'Use anyOf.',
  dependentSchemas: 'Use anyOf.',
  patternProperties: 'Name the properties.',
  propertyNames: 'Name the properties.',
  multipleOf: 'Use enum, or leave it out.',
  uniqueItems: 'Leave it out.',
  contains: 'Use items.',
};

/** Keywords by what they hold. */
const schemas = [
  'items',
  'additionalProperties',
  'unevaluatedProperties',
  'unevaluatedItems',
  'additionalItems',
];
const lists = ['anyOf', 'oneOf', 'allOf', 'prefixItems', 'items'];
const maps = ['properties', '$defs', 'definitions'];

/** Nested deeper than this a schema is no one's. */
const deepest = 64;

/**
 * The schema as xgrammar reads it right: it takes an array without items to be empty. Throws an Error whose message is a
 * sentence where something cannot be enforced.
 */
export function enforceable(schema: unknown, path = '', depth = 0): unknown {
  if (typeof schema === 'boolean') return schema;
  if (schema === null || typeof schema !== 'object' || Array.isArray(schema)) {
    throw new Error(`A schema must be an object or true, which ${path || 'the schema'} is not.`);
  }
  if (depth > deepest) throw new Error(`The schema is nested deeper than ${deepest} levels.`);
  const out: Schema = { ...schema };
  for (const [keyword, instead] of Object.entries(refused)) {
    const value = out[keyword];
    if (value === undefined || value === false) continue;
    if (keyword === 'allOf' && Array.isArray(value) && value.length <= 1) continue;
    throw new Error(`'${keyword}' at ${path || 'the top'} cannot be enforced. ${instead}`);
  }
  refuseCombinations(out, path);
  const inner = (value: unknown, at: string) => enforceable(value, `${path}/${at}`, depth + 1);
  for (const keyword of schemas) {
    if (out[keyword] !== undefined && !Array.isArray(out[keyword]))
      out[keyword] = inner(out[keyword], keyword);
  }
  for (const keyword of lists) {
    const value = out[keyword];
    if (Array.isArray(value)) out[keyword] = value.map((item, index) => inner(item, `${keyword}/${index}`));
  }
  for (const keyword of maps) {
    const value = out[keyword];
    if (value === null || typeof value !== 'object' || Array.isArray(value)) continue;
    out[keyword] = Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, inner(item, `${keyword}/${name}`)]),
    );
  }
  if (out.type === 'array' && out.items === undefined && out.prefixItems === undefined) out.items = true;
  return out;
}

/** Pairs of which xgrammar keeps one, and bounds that it gets wrong. */
function refuseCombinations(schema: Schema, path: string): void {
  const at = path || 'the top';
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  const bound = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].find(
    (keyword) => schema[keyword] !== undefined,
  );
  if (bound && (schema.type === undefined || types.includes('number'))) {
    throw new Error(
      `'${bound}' of a number at ${at} cannot be enforced. Leave it out, or make it an integer, whose bounds are.`,
    );
  }
  const length = ['minLength', 'maxLength', 'format'].find((keyword) => schema[keyword] !== undefined);
  if (length && schema.pattern !== undefined) {
    throw new Error(
      `'${length}' beside 'pattern' at ${at} cannot be enforced. Say it in the pattern, e.g. ^[a-z]{2,8}$.`,
    );
  }
}
