/** What clients write on what is kept for them: OpenAI's metadata. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';

const mostPairs = 16;
const longestKey = 64;

export const metadataField = Type.Record(Type.String(), Type.String({ maxLength: 512 }), {
  description: 'At most 16 pairs; keys of 64, values of 512 characters.',
});

export type Metadata = Static<typeof metadataField>;

/** What the schema cannot say. */
export function checkMetadata(metadata: Metadata | null | undefined): void {
  const keys = Object.keys(metadata ?? {});
  if (keys.length > mostPairs) {
    throw new ColophonError(
      `Invalid 'metadata': too many properties. Expected an object with at most ${mostPairs} properties, but got an object with ${keys.length} properties instead.`,
      { param: 'metadata', code: 'object_above_max_properties' },
    );
  }
  const long = keys.find((key) => key.length > longestKey);
  if (long !== undefined) {
    throw new ColophonError(
      `Invalid 'metadata': property name too long. Expected a name with maximum length ${longestKey}, but got one with length ${long.length} instead.`,
      { param: 'metadata', code: 'string_above_max_length' },
    );
  }
}
