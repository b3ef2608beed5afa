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

const bounds = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'];
const besidePattern = ['minLength', 'maxLength', 'format'];

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
  const whole = mapSchemas(out, (value, at) => enforceable(value, `${path}/${at}`, depth + 1));
  if (out.type === 'array' && out.items === undefined && out.prefixItems === undefined) whole.items = true;
  return whole;
}

/** Pairs of which xgrammar keeps one, and bounds that it gets wrong. */
function refuseCombinations(schema: Schema, path: string): void {
  const at = path || 'the top';
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  const bound = bounds.find((keyword) => schema[keyword] !== undefined);
  if (bound && (schema.type === undefined || types.includes('number'))) {
    throw new Error(
      `'${bound}' of a number at ${at} cannot be enforced. Leave it out, or make it an integer, whose bounds are.`,
    );
  }
  const length = besidePattern.find((keyword) => schema[keyword] !== undefined);
  if (length && schema.pattern !== undefined) {
    throw new Error(
      `'${length}' beside 'pattern' at ${at} cannot be enforced. Say it in the pattern, e.g. ^[a-z]{2,8}$.`,
    );
  }
}

/** The schema without what cannot be enforced: it allows more, and is never refused for a keyword. */
export function loosened(schema: unknown, depth = 0): unknown {
  if (schema === null || typeof schema !== 'object' || Array.isArray(schema) || depth > deepest)
    return schema;
  const out: Schema = { ...schema };
  for (const keyword of Object.keys(refused)) {
    if (keyword === 'allOf' && Array.isArray(out.allOf) && out.allOf.length <= 1) continue;
    // Whoever names patterns of properties allows more than those by name.
    if (keyword === 'patternProperties' && out[keyword] !== undefined) out.additionalProperties = true;
    delete out[keyword];
  }
  const types = Array.isArray(out.type) ? out.type : [out.type];
  if (out.type === undefined || types.includes('number')) for (const bound of bounds) delete out[bound];
  if (out.pattern !== undefined) for (const beside of besidePattern) delete out[beside];
  return mapSchemas(out, (inner) => loosened(inner, depth + 1));
}

/** Every schema directly within a schema, replaced. */
export function mapSchemas(schema: Schema, map: (inner: unknown, at: string) => unknown): Schema {
  const out = { ...schema };
  for (const keyword of schemas) {
    if (out[keyword] !== undefined && !Array.isArray(out[keyword])) out[keyword] = map(out[keyword], keyword);
  }
  for (const keyword of lists) {
    const value = out[keyword];
    if (Array.isArray(value)) out[keyword] = value.map((item, index) => map(item, `${keyword}/${index}`));
  }
  for (const keyword of maps) {
    const value = out[keyword];
    if (value === null || typeof value !== 'object' || Array.isArray(value)) continue;
    out[keyword] = Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, map(item, `${keyword}/${name}`)]),
    );
  }
  return out;
}
