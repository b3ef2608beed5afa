/** Opens the blobs of Datanets that the config names. */
import type { BlobStore } from './blob_store.ts';
import { FileBlobs } from './file_blobs.ts';
import { S3Blobs } from './s3_blobs.ts';
import type { S3Config } from './s3_client.ts';

/** `folder`: of the blobs; with S3, of blobs on their way, this process's own. It is made where it is not there. */
export type BlobConfig = { kind: 'files'; folder: string } | ({ kind: 's3'; folder: string } & S3Config);

export function openBlobs(config: BlobConfig): Promise<BlobStore> {
  return config.kind === 'files' ? FileBlobs.open(config.folder) : S3Blobs.open(config, config.folder);
}
