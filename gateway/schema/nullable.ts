import { type TSchema, Type } from 'typebox';

/** An optional property that may also be null, which means the same: OpenAI's clients send both. */
export function maybe<Schema extends TSchema>(schema: Schema) {
  return Type.Optional(Type.Union([schema, Type.Null()]));
}
