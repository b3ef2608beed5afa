/** Rows that do not meet the Datanet's schema. */
import Schema from 'typebox/schema';
import type { Content, Datanet } from '../model.ts';
import type { Finding, Stage } from './stage.ts';

export const schema: Stage = {
  name: 'schema',
  each(items, { schema }) {
    if (schema === null) return { findings: [] };
    const validator = compiled(schema);
    const findings: Finding[] = [];
    for (const { seq, content } of items) {
      if (validator.Check(content)) continue;
      findings.push({ seq, action: 'quarantine', reason: faultOf(validator, content) });
    }
    return { findings };
  },
};

type Validator = ReturnType<typeof Schema.Compile>;

const validators = new WeakMap<object, Validator>();

function compiled(schema: NonNullable<Datanet['schema']>): Validator {
  let validator = validators.get(schema);
  if (!validator) {
    validator = Schema.Compile(schema);
    validators.set(schema, validator);
  }
  return validator;
}

/** Without the value at fault: reasons never quote. */
function faultOf(validator: Validator, content: Content): string {
  const [, errors] = validator.Errors(content);
  const first = errors[0];
  if (first === undefined) return "The row does not meet the Datanet's schema.";
  const place = first.instancePath.split('/').slice(1).map(plain).reduce(join, '');
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return `${place === '' ? 'The row' : place} ${first.message} by the Datanet's schema at ${first.schemaPath}${more}.`;
}

/** RFC 6901. */
const plain = (part: string) => part.replaceAll('~1', '/').replaceAll('~0', '~');

function join(path: string, part: string): string {
  if (/^\d+$/.test(part)) return `${path}[${part}]`;
  return path === '' ? part : `${path}.${part}`;
}
