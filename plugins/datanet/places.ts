/** Where the store of the Datanets and their texts are. */
import { join } from 'node:path';
import type { Static } from 'typebox';
import type { datanetConfig } from './index.ts';
import type { BlobConfig } from './store/open_blobs.ts';
import type { StoreConfig } from './store/open_store.ts';

/** By the settings, or else beside one another in the folder. */
export function places(
  folder: string,
  { postgres_url: url, s3 }: Pick<Static<typeof datanetConfig>, 'postgres_url' | 's3'>,
): { store: StoreConfig; blobs: BlobConfig } {
  return {
    store: url ? { kind: 'postgres', url } : { kind: 'sqlite', path: join(folder, 'datanets.sqlite') },
    blobs: s3
      ? {
          kind: 's3',
          folder: join(folder, 'uploads'),
          endpoint: s3.endpoint,
          bucket: s3.bucket,
          region: s3.region,
          accessKeyId: s3.access_key_id,
          secretAccessKey: s3.secret_access_key,
        }
      : { kind: 'files', folder: join(folder, 'blobs') },
  };
}
