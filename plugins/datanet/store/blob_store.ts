/** Where Datanets' bytes are kept: content-addressed, immutable. Implemented over files and over S3. */

export interface BlobStore {
  /**
   * Stores a stream and tells its hash and size when it is durable; the same bytes twice are one blob. Fails with `too_large`
   * past `limit` bytes, `disk_full` where there is no room; what fails leaves nothing.
   */
  write(source: AsyncIterable<Uint8Array>, limit?: number): Promise<{ sha256: string; bytes: number }>;
  /** All of it, or `bytes` from `offset`. Rejects with blob_missing, or blob_damaged where a whole read does not hash equal. */
  read(sha256: string, range?: { offset: number; bytes: number }): AsyncIterable<Uint8Array>;
  size(sha256: string): Promise<number | undefined>;
  /** Gone for good; of one that is not there, nothing. */
  delete(sha256: string): Promise<void>;
  /** Throws away what a crash left behind: unfinished ones, and blobs that nobody uses. At start, before anything is written. */
  sweep(isUsed: (sha256: string) => Promise<boolean>): Promise<void>;
  close(): Promise<void>;
}
