/**
 * influence.index, beside an adapter's weights: what tells how much each example that it learned from has to do with an answer
 * (native/influence). The same training leaves the same bytes.
 *
 * Until it is whole its rows are in a file of pieces, each with its SHA-256, so that what was ended goes on where it was.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { influenceIndexFile } from '../../gateway/contract/index.ts';
import { type InfluenceLayout, type NativeTrainer, native } from '../../native/binding/index.ts';
import type { Item } from './examples.ts';
import { writeInfluenceCheckpoints } from './influence_checkpoints.ts';
import type { Recipe } from './recipe.ts';
import { bestStep, checkpointFolder, type RunState } from './run.ts';
import { hashOfAdapter } from './traced.ts';

/**
 * That each example takes at each checkpoint, so that influence indices stay below the size of what they are of; more where an
 * adapter has so many blocks that fewer than four values of each would be left.
 */
export const bytesPerCheckpoint = 16_384;
/** Examples of one piece: a piece is what is lost when the process is ended. */
const examplesAtOnce = 4;

export interface Influence {
  trainer: NativeTrainer;
  /** Of pairs, the answer that was preferred teaches. */
  items: readonly Item[];
  recipe: Pick<Recipe, 'influence_checkpoints' | 'seed'>;
  /** Of a run that has ended. */
  state: RunState;
  /** Ends it after the piece that is under way; it can go on later. */
  signal?: AbortSignal;
}

/** Checkpoints by which influence is told: kept ones up to the adapter itself, which is the last, at even distances. */
export function influenceCheckpoints(
  state: RunState,
  most: number,
): Array<{ step: number /** Learning rates of the steps that it stands for, summed. */; rate: number }> {
  const best = bestStep(state);
  const kept = state.log.filter((row) => row.kept && row.step <= best).map(({ step }) => step);
  const count = Math.min(most, kept.length);
  const steps = Array.from(
    { length: count },
    (_, i) => kept[Math.ceil(((i + 1) * kept.length) / count) - 1]!,
  );
  return steps.map((step, i) => {
    const before = steps[i - 1] ?? 0;
    const of = state.log.filter((row) => row.step > before && row.step <= step);
    return { step, rate: of.reduce((sum, { learningRate }) => sum + learningRate, 0) };
  });
}

/**
 * Writes the index into the job's folder, and the checkpoints before its last, whole and durable, or not there; where the recipe wants
 * none there is none. False: the signal ended it before.
 */
export async function writeInfluence(folder: string, options: Influence): Promise<boolean> {
  const { trainer, items, recipe, state, signal } = options;
  // A recipe from before there were any has none.
  const checkpoints = influenceCheckpoints(state, recipe.influence_checkpoints ?? 0);
  if (checkpoints.length === 0) return true;
  const examples = items.map((item) => ('preferred' in item ? item.preferred : item));
  const layout = layoutOf(trainer, {
    examples: examples.length,
    rates: checkpoints.map(({ rate }) => rate),
    seed: recipe.seed,
  });
  const folders = checkpoints.map(({ step }) => checkpointFolder(folder, step));
  const hash = await hashOfAdapter(folders.at(-1)!);
  const pieces = piecesOf(layout);
  const path = join(folder, `${influenceIndexFile}.rows`);
  const head = createHash('sha256').update(JSON.stringify({ layout, checkpoints, hash })).digest();
  const rows = await open(path, 'a+');
  try {
    let done = await piecesThere(rows, head, pieces);
    let loaded = '';
    for (; done < pieces.length; done++) {
      if (signal?.aborted) {
        await rows.sync();
        return false;
      }
      const { checkpoint, first, count } = pieces[done]!;
      const adapter = folders[checkpoint ?? folders.length - 1]!;
      if (loaded !== adapter) await trainer.load(join(adapter, 'adapter_model.safetensors'));
      loaded = adapter;
      const some = examples.slice(first, first + count);
      const bytes =
        checkpoint === undefined
          ? await trainer.stateRows(some, layout)
          : await trainer.gradientRows(some, layout);
      await rows.appendFile(withHash(bytes));
    }
    const earlier: Float32Array[] = [];
    for (const adapter of folders.slice(0, -1)) {
      await trainer.load(join(adapter, 'adapter_model.safetensors'));
      earlier.push(trainer.values());
    }
    if (earlier.length > 0) await writeInfluenceCheckpoints(folder, hash, earlier);
    const writer = native().createInfluenceWriter(join(folder, influenceIndexFile), hash, layout);
    let at = head.length;
    for (const { bytes } of pieces) {
      const piece = await readPiece(rows, at, bytes);
      if (!piece) throw new Error(`${path} was changed while it was read.`);
      writer.add(piece);
      at += bytes + hashBytes;
    }
    await writer.finish();
  } finally {
    await rows.close();
  }
  await rm(path, { force: true });
  return true;
}

const hashBytes = 32;

function layoutOf(
  trainer: NativeTrainer,
  of: { examples: number; rates: number[]; seed: number },
): InfluenceLayout {
  const wanted = { ...of, preconditioned: false };
  // What four values of each block take: a scale of four bytes and a byte each, beside the states.
  const { modules, hyperparameters } = trainer.info();
  const least = 4 + 2 * modules.length * (4 + 4);
  const state = 8 + 2 * hyperparameters.hidden;
  const bytesPerExample = state + of.rates.length * Math.max(least, bytesPerCheckpoint);
  return trainer.influenceLayout({ ...wanted, bytesPerExample });
}

/** Rows that are made at once: of states, then of gradients at each checkpoint. */
interface Piece {
  /** Undefined: states. */
  checkpoint: number | undefined;
  first: number;
  count: number;
  bytes: number;
}

function piecesOf({ examples, rates, stateRowBytes, gradientRowBytes }: InfluenceLayout): Piece[] {
  return [undefined, ...rates.keys()].flatMap((checkpoint) =>
    Array.from({ length: Math.ceil(examples / examplesAtOnce) }, (_, i) => {
      const first = i * examplesAtOnce;
      const count = Math.min(examplesAtOnce, examples - first);
      return {
        checkpoint,
        first,
        count,
        bytes: count * (checkpoint === undefined ? stateRowBytes : gradientRowBytes),
      };
    }),
  );
}

/** How many of the pieces the file has whole; what is behind them, or is of another adapter, is cut off. */
async function piecesThere(rows: FileHandle, head: Buffer, pieces: readonly Piece[]): Promise<number> {
  const found = Buffer.alloc(head.length);
  await rows.read(found, 0, head.length, 0);
  if (!found.equals(head)) {
    await rows.truncate(0);
    await rows.appendFile(head);
    return 0;
  }
  let at = head.length;
  let whole = 0;
  for (const { bytes } of pieces) {
    if (!(await readPiece(rows, at, bytes))) break;
    at += bytes + hashBytes;
    whole++;
  }
  await rows.truncate(at);
  return whole;
}

/** Undefined where it is not there, or not as it was written. */
async function readPiece(rows: FileHandle, at: number, bytes: number): Promise<Uint8Array | undefined> {
  const piece = Buffer.alloc(bytes + hashBytes);
  const { bytesRead } = await rows.read(piece, 0, piece.length, at);
  if (bytesRead < piece.length) return undefined;
  const content = piece.subarray(0, bytes);
  const digest = createHash('sha256').update(content).digest();
  return digest.equals(piece.subarray(bytes)) ? new Uint8Array(content) : undefined;
}

function withHash(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]);
}
