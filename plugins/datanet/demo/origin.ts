/** What the demo Datanet `medical-coding` is made of, and by what right. */
import { createReadStream } from 'node:fs';
import { type ModelOptions, resolveModel } from '../../../gateway/models/index.ts';
import { type Chapter, readTabularList } from './tabular_list.ts';

/** The list of April 2026, pinned like the default model. */
export const tabularListSource =
  'pypi:simple-icd-10-cm==1.5.0#simple_icd_10_cm/data/icd10c-tabular-April-1-2026.xml' +
  '?sha256=f161f8182aff3ce3a2a78e202f8259c08eaee2c670a9e45b0072445c52302935';

/** What is said of each contribution. Works of the US government: free of copyright by law, so marked, not dedicated. */
export const demoStatement = {
  licence: 'CC-PDM-1.0',
  source:
    'ICD-10-CM tabular list, April 2026, US National Center for Health Statistics (PyPI simple-icd-10-cm 1.5.0)',
  rights: 'A work of the United States government, in the public domain (17 U.S.C. 105).',
};

/** The tabular list's chapters; fetched once per user. Throws ModelError where it cannot be had. */
export async function demoChapters(options: ModelOptions = {}): Promise<Chapter[]> {
  const { path } = await resolveModel(tabularListSource, options);
  return readTabularList(createReadStream(path));
}
