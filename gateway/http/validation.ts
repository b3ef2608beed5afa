/** Checks bodies against their TypeBox schema and words what is wrong as OpenAI does. */
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import Schema from 'typebox/schema';
import { ColophonError } from '../contract/index.ts';
import { describe, type Fault, findFault, nameType } from '../schema/fault.ts';

/** Fastify's validator compiler; a schema is compiled once, a fault is looked for only in what failed. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema }) => {
  const validator = Schema.Compile(schema);
  return (value: unknown) => (validator.Check(value) ? { value } : { error: explain(schema, value) });
};

/** The error of a value that does not fit. */
export function explain(schema: TSchema, value: unknown): ColophonError {
  const fault = findFault(schema, value);
  if (!fault) return new ColophonError('The request is not valid.', { code: 'invalid_request' });
  return faultError(fault);
}

export function faultError(fault: Fault): ColophonError {
  const param = paramOf(fault.path);
  if (param === '') {
    return new ColophonError(
      `The request body must be a JSON object, but got ${nameType(fault.value)} instead.`,
      {
        code: 'invalid_type',
      },
    );
  }
  const [sentence, code] = word(fault, param);
  return new ColophonError(sentence, { param, code });
}

/** "messages[0].content". */
export function paramOf(path: ReadonlyArray<string | number>): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text ? `${text}.${part}` : part;
  }, '');
}

function word(fault: Fault, param: string): [string, string] {
  const { schema, value } = fault;
  const number = schema.type === 'integer' ? 'integer' : 'decimal';
  const length = (value as { length?: number } | null)?.length ?? 0;
  switch (fault.kind) {
    case 'missing':
      return [`Missing required parameter: '${param}'.`, 'missing_required_parameter'];
    case 'below': {
      const bound =
        schema.minimum === undefined ? `> ${schema.exclusiveMinimum ?? '-Infinity'}` : `>= ${schema.minimum}`;
      return [
        `Invalid '${param}': ${number} below minimum value. Expected a value ${bound}, but got ${show(value)} instead.`,
        `${number}_below_min_value`,
      ];
    }
    case 'above': {
      const bound =
        schema.maximum === undefined ? `< ${schema.exclusiveMaximum ?? 'Infinity'}` : `<= ${schema.maximum}`;
      return [
        `Invalid '${param}': ${number} above maximum value. Expected a value ${bound}, but got ${show(value)} instead.`,
        `${number}_above_max_value`,
      ];
    }
    case 'too-short':
      return [
        `Invalid '${param}': empty string. Expected a string with minimum length ${schema.minLength}.`,
        'empty_string',
      ];
    case 'too-long':
      return [
        `Invalid '${param}': string too long. Expected a string with maximum length ${schema.maxLength}, but got a string with length ${length} instead.`,
        'string_above_max_length',
      ];
    case 'too-few':
      return [
        `Invalid '${param}': empty array. Expected an array with minimum length ${schema.minItems}, but got an array with length ${length} instead.`,
        'empty_array',
      ];
    case 'too-many':
      return [
        `Invalid '${param}': array too long. Expected an array with maximum length ${schema.maxItems}, but got an array with length ${length} instead.`,
        'array_above_max_length',
      ];
    case 'value':
    case 'unknown':
      return [`Invalid value for '${param}': ${show(value)}. Expected ${describe(schema)}.`, 'invalid_value'];
    case 'type':
      return [
        `Invalid type for '${param}': expected ${describe(schema)}, but got ${nameType(value)} instead.`,
        'invalid_type',
      ];
  }
}

function show(value: unknown): string {
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
