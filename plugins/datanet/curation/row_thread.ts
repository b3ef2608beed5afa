/** What a thread of a curation runs: the row stages over chunks. */
import { workerData } from 'piscina';
import { type Chunk, ChunkCurator, type ChunkInput, type ChunkResult } from './chunk.ts';

const curator = new ChunkCurator(workerData as ChunkInput);

export default function run(chunk: Chunk): Promise<ChunkResult> {
  return curator.run(chunk);
}
