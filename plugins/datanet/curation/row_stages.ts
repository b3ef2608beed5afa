/** The stages that threads run on each row, in their order. What masks comes first, so that no row is shown or kept unmasked. */
import { contamination } from './contamination.ts';
import { language } from './language.ts';
import { length } from './length.ts';
import { pii } from './pii.ts';
import { schema } from './schema.ts';
import type { CurationSettings } from './settings.ts';
import type { Stage } from './stage.ts';
import { unicode } from './unicode.ts';

export function rowStages(settings: CurationSettings): Stage[] {
  const { phoneCountry: _, ...kinds } = settings.pii;
  const on: Array<[Stage, boolean]> = [
    [schema, settings.schema.enabled],
    [unicode, settings.unicode.enabled],
    [pii, Object.values(kinds).some((mode) => mode !== 'off')],
    [language, settings.language.enabled],
    [length, settings.length.enabled],
    [contamination, settings.contamination.enabled],
  ];
  return on.flatMap(([stage, isOn]) => (isOn ? [stage] : []));
}
