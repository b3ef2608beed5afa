/** What a request says about the form of its answer: OpenAI's response_format, vLLM's structured_outputs and what it had before. */

import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { Grammar } from '../text/grammar/grammar.ts';
import { given, missing } from './missing.ts';

const anything = Type.Unknown();
const choices = Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 4096 });

export const structureFields = {
  response_format: maybe(
    Type.Object({
      type: Type.Enum(['text', 'json_object', 'json_schema']),
      json_schema: maybe(
        Type.Object({
          name: maybe(Type.String()),
          description: maybe(Type.String()),
          schema: maybe(anything),
          strict: maybe(Type.Boolean()),
        }),
      ),
    }),
  ),
  structured_outputs: maybe(
    Type.Object({
      json: maybe(anything),
      regex: maybe(Type.String()),
      choice: maybe(choices),
      grammar: maybe(Type.String()),
      json_object: maybe(Type.Boolean()),
      disable_any_whitespace: maybe(Type.Boolean()),
      disable_fallback: maybe(Type.Boolean()),
    }),
  ),
  guided_json: maybe(anything),
  guided_regex: maybe(Type.String()),
  guided_choice: maybe(choices),
  guided_grammar: maybe(Type.String()),
};

const shape = Type.Object(structureFields);

export type StructureFields = Static<typeof shape>;

/** A grammar and the field that it was read from. */
export interface Structure {
  grammar: Grammar;
  param: string;
  /** It is calls, several: one that repeats another ends the answer. */
  severalCalls?: boolean;
}

const object: Grammar = { kind: 'json', schema: { type: 'object' } };

/** The form that is asked for, `also` elsewhere; undefined where any text will do. Two at once are refused. */
export function readStructure(
  body: StructureFields & { ignore_eos?: boolean | null },
  also: readonly Structure[] = [],
): Structure | undefined {
  const found = [...also, ...fromResponseFormat(body), ...fromStructuredOutputs(body), ...fromGuided(body)];
  const [structure, second] = found;
  if (!structure) return undefined;
  if (second) {
    throw new ColophonError(
      `'${structure.param}' and '${second.param}' both say what the answer must look like. Give one of them.`,
      { param: second.param, code: 'invalid_value' },
    );
  }
  if (body.ignore_eos) {
    throw new ColophonError(
      `'ignore_eos' cannot be combined with '${structure.param}': an answer that is complete has to end.`,
      { param: 'ignore_eos', code: 'invalid_value' },
    );
  }
  return structure;
}

function fromResponseFormat({ response_format: format }: StructureFields): Structure[] {
  if (format?.type === 'json_object') return [{ grammar: object, param: 'response_format' }];
  if (format?.type !== 'json_schema') return [];
  const param = 'response_format.json_schema';
  if (!format.json_schema) throw missing(param);
  if (!given(format.json_schema.schema)) throw missing(`${param}.schema`);
  return [{ grammar: { kind: 'json', schema: format.json_schema.schema }, param: `${param}.schema` }];
}

function fromStructuredOutputs({ structured_outputs: asked }: StructureFields): Structure[] {
  if (!asked) return [];
  for (const name of ['structural_tag', 'whitespace_pattern', 'disable_additional_properties']) {
    if (given((asked as Record<string, unknown>)[name])) {
      const param = `structured_outputs.${name}`;
      throw new ColophonError(`'${param}' is not supported.`, { param, code: 'unsupported_parameter' });
    }
  }
  const found = [
    ...schemaOf(asked.json, 'structured_outputs.json'),
    ...textsOf(asked, 'structured_outputs.'),
    ...(asked.json_object ? [{ grammar: object, param: 'structured_outputs.json_object' }] : []),
  ];
  if (found.length > 0) return found;
  throw new ColophonError(
    "'structured_outputs' says nothing. Give one of json, regex, choice, grammar and json_object.",
    { param: 'structured_outputs', code: 'invalid_value' },
  );
}

function fromGuided(body: StructureFields): Structure[] {
  const { guided_regex: regex, guided_choice: choice, guided_grammar: grammar } = body;
  return [...schemaOf(body.guided_json, 'guided_json'), ...textsOf({ regex, choice, grammar }, 'guided_')];
}

function textsOf(
  asked: Pick<NonNullable<StructureFields['structured_outputs']>, 'regex' | 'choice' | 'grammar'>,
  prefix: string,
): Structure[] {
  const found: Structure[] = [];
  const add = (name: string, grammar: Grammar) => found.push({ grammar, param: `${prefix}${name}` });
  if (given(asked.regex)) add('regex', { kind: 'regex', pattern: asked.regex });
  if (given(asked.choice)) add('choice', { kind: 'choice', choices: asked.choice });
  if (given(asked.grammar)) add('grammar', { kind: 'ebnf', text: asked.grammar });
  return found;
}

/** A schema, or the text of one. */
function schemaOf(value: unknown, param: string): Structure[] {
  if (!given(value)) return [];
  if (typeof value !== 'string') return [{ grammar: { kind: 'json', schema: value }, param }];
  try {
    return [{ grammar: { kind: 'json', schema: JSON.parse(value) }, param }];
  } catch (cause) {
    const why = (cause as Error).message;
    throw new ColophonError(`Invalid '${param}': it is not JSON (${why}).`, {
      param,
      code: 'invalid_grammar',
      cause,
    });
  }
}
