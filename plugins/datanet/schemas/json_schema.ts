/** A Datanet's JSON Schema: checked to be one when it is set, and what it says of an example. */
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Content, Datanet } from '../model.ts';

export type DatanetSchema = NonNullable<Datanet['schema']>;

/** Why an example does not meet the schema. */
export interface Fault {
  /** As RefusedRow.field. */
  field: string | null;
  /** A sentence. Without the value at fault: reasons outlive texts. */
  reason: string;
}

export type ExampleCheck = (content: Content) => Fault | null;

/** Characters of its JSON: it is compiled on the server's own thread. */
const longest = 64 * 1024;

const newest = 'https://json-schema.org/draft/2020-12/schema';
const dialects: Record<string, typeof Ajv> = {
  [newest]: Ajv2020,
  'https://json-schema.org/draft/2019-09/schema': Ajv2019,
  'http://json-schema.org/draft-07/schema': Ajv,
};

/** What JSON Schema does not know says nothing, as it demands; one error is enough. References are not copied: code stays small. */
const options: Options = { strict: false, logger: false, inlineRefs: false, validateSchema: false };

/** Throws ColophonError of the parameter `schema`, with the JSON Pointer of what is wrong in it. */
export function compileSchema(schema: DatanetSchema): ExampleCheck {
  let validate: ValidateFunction;
  try {
    validate = validateOf(schema);
  } catch (error) {
    if (error instanceof ColophonError) throw error;
    if (error instanceof RangeError) throw wrong('is nested too deep');
    throw wrong(`cannot be applied: ${(error as Error).message}`);
  }
  return (content) => faultOf(validate, content);
}

function validateOf(schema: DatanetSchema): ValidateFunction {
  const { length } = JSON.stringify(schema);
  if (length > longest)
    throw wrong(`has ${length} characters as JSON; at most ${longest} are taken. Describe less`);
  const dialect = schema.$schema === undefined ? newest : String(schema.$schema).replace(/#$/, '');
  const Dialect = Object.hasOwn(dialects, dialect) ? dialects[dialect] : undefined;
  if (!Dialect) {
    const known = Object.keys(dialects).join(', ');
    throw wrong(`is of a dialect that is not known ('$schema'); take one of ${known}`);
  }
  // Ajv's own, by which it would answer with a promise.
  if ('$async' in schema)
    throw wrong("is no valid JSON Schema: at '/$async' it has a keyword that is not taken");
  const ajv = new Dialect(options);
  (formats as unknown as (ajv: Ajv) => void)(ajv);
  if (ajv.validateSchema(schema)) return ajv.compile(schema);
  const [first] = ajv.errors!;
  throw wrong(`is no valid JSON Schema: at '${first!.instancePath || '/'}' it ${messageOf(first!)}`);
}

function faultOf(validate: ValidateFunction, content: Content): Fault | null {
  try {
    if (validate(content)) return null;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { field: null, reason: "The Datanet's schema refers to itself without an end for the row." };
  }
  const first = validate.errors![0]!;
  const field = first.instancePath.split('/').slice(1).map(plain).reduce(join, '');
  return {
    field: field === '' ? null : field,
    reason: `${field === '' ? 'The row' : field} ${messageOf(first)} by the Datanet's schema at ${first.schemaPath}.`,
  };
}

/** What must be, with the values that may be. */
function messageOf({ message = 'is wrong', keyword, params }: ErrorObject): string {
  return keyword === 'enum' ? `${message} (${JSON.stringify(params.allowedValues)})` : message;
}

/** RFC 6901. */
const plain = (part: string) => part.replaceAll('~1', '/').replaceAll('~0', '~');

function join(path: string, part: string): string {
  if (/^\d+$/.test(part)) return `${path}[${part}]`;
  return path === '' ? part : `${path}.${part}`;
}

function wrong(what: string): ColophonError {
  return new ColophonError(`'schema' ${what}.`, { param: 'schema', code: 'invalid_value' });
}
