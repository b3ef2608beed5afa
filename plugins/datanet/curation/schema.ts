/** Rows that do not meet the Datanet's schema. */
import { compileSchema, type DatanetSchema, type ExampleCheck } from '../schemas/json_schema.ts';
import type { Finding, Stage } from './stage.ts';

export const schema: Stage = {
  name: 'schema',
  each(items, { schema }) {
    if (schema === null) return { findings: [] };
    const check = compiled(schema);
    const findings: Finding[] = [];
    for (const { seq, content } of items) {
      const fault = check(content);
      if (fault) findings.push({ seq, action: 'quarantine', reason: fault.reason });
    }
    return { findings };
  },
};

const checks = new WeakMap<DatanetSchema, ExampleCheck>();

function compiled(schema: DatanetSchema): ExampleCheck {
  const known = checks.get(schema) ?? compileSchema(schema);
  checks.set(schema, known);
  return known;
}
