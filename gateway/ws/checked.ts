import type { Static, TSchema } from 'typebox';
import Schema from 'typebox/schema';
import { explain } from '../http/validation.ts';
import type { ClientEvent } from './connection.ts';

const compiled = new Map<TSchema, ReturnType<typeof Schema.Compile>>();

/** The event, where it fits the schema; throws ColophonError that names the field where it does not. */
export function checked<Of extends TSchema>(schema: Of, event: ClientEvent): Static<Of> {
  let validator = compiled.get(schema);
  if (!validator) {
    validator = Schema.Compile(schema);
    compiled.set(schema, validator);
  }
  if (validator.Check(event)) return event as Static<Of>;
  throw explain(schema, event);
}
