/** The Datanets of this installation, asked of no server. */
import { join } from 'node:path';
import type { Config } from '../../gateway/config/index.ts';
import { datanetConfig } from './index.ts';
import { places } from './places.ts';
import type { BlobStore } from './store/blob_store.ts';
import type { DatanetStore } from './store/datanet_store.ts';
import { openBlobs } from './store/open_blobs.ts';
import { openStore } from './store/open_store.ts';

export interface OfflineDatanets {
  store: DatanetStore;
  blobs: BlobStore;
  close(): Promise<void>;
}

/** Those of the configuration's data folder, or where it says that they are. A server may have them open too. */
export async function openDatanets(config: Pick<Config, 'paths' | 'plugin'>): Promise<OfflineDatanets> {
  const where = places(join(config.paths.data, 'datanets'), config.plugin('datanet', datanetConfig));
  const store = await openStore(where.store);
  try {
    const blobs = await openBlobs(where.blobs);
    return {
      store,
      blobs,
      close: async () => {
        await blobs.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}
