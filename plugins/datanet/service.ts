/** Everything of the Datanets, opened and put together: the store, the bytes, the jobs, what is done with them. */
import { ColophonError, type Host, type Logger } from '../../gateway/contract/index.ts';
import { Contributions } from './contributions.ts';
import { readRows } from './formats/read_rows.ts';
import type { Service } from './http/routes.ts';
import { type CheckLimits, checkWork } from './jobs/check.ts';
import { curateWork } from './jobs/curate.ts';
import { JobRunner } from './jobs/runner.ts';
import { snapshotWork } from './jobs/snapshot.ts';
import type { Datanet, LicencePolicy } from './model.ts';
import { canonicalContent, signedStatement, verifySignature } from './snapshots/canonical.ts';
import { checkLicence } from './snapshots/licences.ts';
import { endWithdrawals } from './store/erase_texts.ts';
import { type BlobConfig, openBlobs } from './store/open_blobs.ts';
import { openStore, type StoreConfig } from './store/open_store.ts';

export interface ServiceOptions {
  store: StoreConfig;
  blobs: BlobConfig;
  uploadBytes: number;
  limits: CheckLimits;
  /** Of a curation. */
  threads: number;
  /** What of the server is asked: models, files, texts. */
  host: Pick<Host, 'all' | 'text' | 'files'>;
  log: Logger;
}

export interface OpenService extends Service {
  /** Cuts running jobs, which go on with the next start, and closes all. */
  close(): Promise<void>;
}

/** Ends what a crash cut short, and goes on with its jobs. */
export async function openService(options: ServiceOptions): Promise<OpenService> {
  const { log, limits, uploadBytes, threads, host } = options;
  const store = await openStore(options.store);
  const blobs = await openBlobs(options.blobs);
  await blobs.sweep((sha256) => store.usesBlob(sha256));
  await endWithdrawals(store, blobs);
  const datanets = new Map<string, Datanet>();
  const datanetOf = async (id: string): Promise<Datanet> => {
    for (let after: string | undefined; !datanets.has(id); ) {
      const page = await store.datanets({ limit: 100, ...(after === undefined ? {} : { after }) });
      for (const datanet of page.data) datanets.set(datanet.id, datanet);
      if (!page.hasMore) break;
      after = page.data.at(-1)!.id;
    }
    const found = datanets.get(id);
    // Not kept: its kinds may be changed.
    datanets.clear();
    if (found) return found;
    throw new ColophonError('The Datanet is gone.', {
      type: 'not_found_error',
      code: 'datanet_object_not_found',
    });
  };
  const check = checkWork({
    store,
    blobs,
    readRows,
    canonical: (content) => canonicalContent(content).bytes,
    limits,
    takenBy: ({ datanet }) => datanetOf(datanet),
  });
  const curate = curateWork({ store, blobs, threads, limits, host, datanetOf, licenceFault });
  const snapshot = snapshotWork(store, blobs, async (id) => (await datanetOf(id)).name);
  const jobs = new JobRunner(store, { check, curate, snapshot }, log);
  const contributions = new Contributions({
    store,
    blobs,
    jobs,
    uploadBytes,
    checkLicence,
    isSigned: ({ name }, contribution, publicKey) =>
      verifySignature(
        publicKey,
        signedStatement({ ...contribution, datanet: name }),
        contribution.signature!,
      ),
  });
  await jobs.resume();
  return {
    store,
    blobs,
    jobs,
    contributions,
    close: async () => {
      await jobs.drain();
      await store.close();
      await blobs.close();
    },
  };
}

/** What curation says of a licence that the policy forbids. */
function licenceFault(licence: string, policy: LicencePolicy): string | undefined {
  try {
    checkLicence(licence, policy);
    return undefined;
  } catch (error) {
    if (error instanceof ColophonError) return error.message;
    throw error;
  }
}
