/** The job that curates a Datanet. */
import type { Host } from '../../../gateway/contract/index.ts';
import { engineStages } from '../curation/engine.ts';
import { heldOutTexts } from '../curation/heldout_files.ts';
import { heldOutGrams } from '../curation/heldout_grams.ts';
import { curate } from '../curation/pipeline.ts';
import type { CurationSettings } from '../curation/settings.ts';
import { languageTables } from '../curation/threads.ts';
import type { ReadLimits } from '../formats/format.ts';
import type { Datanet, LicencePolicy } from '../model.ts';
import { compileSchema } from '../schemas/json_schema.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore, Job } from '../store/datanet_store.ts';
import { eraseTexts } from '../store/erase_texts.ts';
import type { Work } from './runner.ts';

export interface CurateParts {
  store: DatanetStore;
  blobs: BlobStore;
  threads: number;
  limits: ReadLimits;
  host: Pick<Host, 'all' | 'text' | 'files'>;
  datanetOf(id: string): Promise<Datanet>;
  /** Why a policy forbids a licence, as a sentence; undefined: it does not. */
  licenceFault(licence: string, policy: LicencePolicy): string | undefined;
}

/** What a job of the kind `curate` is told: `settings` are whole, so that one that is cut goes on by the same. */
export interface CurateParams extends Record<string, unknown> {
  settings: CurationSettings;
  tenant: string;
  operator: boolean;
}

/** One that was cut begins anew, and finds the same. Cancelled, it leaves nothing. */
export function curateWork(parts: CurateParts): Work {
  return async (job, signal) => {
    try {
      return await run(job, signal, parts);
    } catch (error) {
      if ((await parts.store.job(job.id))?.state === 'cancelled') await parts.store.clearVerdicts(job.id);
      throw error;
    } finally {
      // Of masks that were taken away, and of those whose rows were withdrawn meanwhile.
      await eraseTexts(parts.store, parts.blobs);
    }
  };
}

async function run(job: Job, signal: AbortSignal, parts: CurateParts): Promise<Record<string, unknown>> {
  const { store, blobs, threads, limits, host } = parts;
  const { settings, tenant, operator } = job.params as CurateParams;
  const { schema, licencePolicy } = await parts.datanetOf(job.datanet);
  // Here, where it is told as what it is, and not by a thread.
  if (schema !== null) compileSchema(schema);
  const { enabled, heldOut: ids } = settings.contamination;
  const heldOut = enabled
    ? await heldOutTexts(ids, { files: host.files, caller: { tenant, operator }, limits })
    : { texts: [], refused: 0 };
  const engine = await engineStages(settings, { host, tenant, heldOut: heldOut.texts, signal });
  const { report, contributions } = await curate(
    { store, blobs, threads },
    {
      job: job.id,
      datanet: job.datanet,
      input: {
        settings,
        schema,
        heldOut: await heldOutGrams(heldOut.texts),
        languages: settings.language.enabled ? await languageTables() : null,
        contents: engine.rows.length + engine.whole.length > 0,
      },
      licenceFault: async (id) => {
        const contribution = await store.contribution(id);
        return (contribution && parts.licenceFault(contribution.licence, licencePolicy)) ?? null;
      },
      engine,
      signal,
    },
  );
  await store.updateJob(job.id, { checkpoint: { contributions } }, ['running']);
  return { ...report, heldOut: { texts: heldOut.texts.length, refused: heldOut.refused } };
}
