/** Witnesses (c2sp.org/tlog-witness): others who see that the ledger only grows, and sign what they saw. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileDurably } from '../durable_files.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import type { VerifierKey } from '../keys/vkey.ts';
import { type Checkpoint, openCheckpoint, parseDecimal } from './checkpoint.ts';
import { type NoteSignature, parseSignatureLines, verifiedSignatures, writeNote } from './note.ts';
import { writeConsistency } from './proof_text.ts';
import { checkpointFile, PublishedLedger } from './published.ts';
import { Tree } from './tree.ts';

export interface Witness {
  /** Its submission prefix: requests go to URL/add-checkpoint. */
  url: string;
  /** Of type cosignature. */
  key: VerifierKey;
}

export interface CosigningOptions {
  folder: string;
  keys: () => PublicKeys;
  witnesses: readonly Witness[];
  /** A witness did not sign; it is asked again. */
  refused(witness: Witness, sentence: string): void;
  /** Its signature could not be written: see mustStop. */
  failed(error: unknown): void;
  /** How long a witness may take, and how long after a failure it is let alone; milliseconds. */
  patience?: { answer: number; pause: number };
}

/**
 * Asks each witness for its signature of the newest checkpoint that is published, one request at a time, and publishes it with the
 * checkpoint. Nobody waits for them. To be used in the thread that publishes: a checkpoint is compared and replaced in one go.
 */
export class Cosigning {
  readonly #options: CosigningOptions;
  readonly #published: PublishedLedger;
  readonly #asking = new Map<Witness, Promise<void>>();
  readonly #stop = new AbortController();
  /** Size of the tree that a witness saw last, as far as is known. */
  readonly #seen = new Map<Witness, number>();

  constructor(options: CosigningOptions) {
    this.#options = options;
    this.#published = new PublishedLedger(options.folder);
  }

  /** A checkpoint was published. */
  wake(): void {
    for (const witness of this.#options.witnesses) {
      if (this.#asking.has(witness) || this.#stop.signal.aborted) continue;
      const asking = this.#keepAsking(witness)
        .catch((error) => this.#options.failed(error))
        .finally(() => this.#asking.delete(witness));
      this.#asking.set(witness, asking);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#asking.values());
  }

  /** Until the newest checkpoint has its signature. */
  async #keepAsking(witness: Witness): Promise<void> {
    const { patience = { answer: 10_000, pause: 30_000 }, keys, refused } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const text = this.#published.checkpoint();
      const checkpoint = text === undefined ? undefined : openCheckpoint(text, keys());
      if (!checkpoint || hasSigned(checkpoint, witness)) return;
      let signatures: NoteSignature[];
      try {
        signatures = await this.#ask(witness, checkpoint, patience.answer);
      } catch (error) {
        if (signal.aborted) return;
        refused(witness, sentenceOf(error));
        await sleep(patience.pause, undefined, { signal, ref: false }).catch(() => {});
        continue;
      }
      this.#add(checkpoint, signatures);
    }
  }

  async #ask(witness: Witness, checkpoint: Checkpoint, milliseconds: number): Promise<NoteSignature[]> {
    const tree = new Tree(this.#published, checkpoint.size);
    // It may have seen another tree than is known here, and once more a newer one.
    for (let tries = 0; tries < 3; tries++) {
      const old = this.#seen.get(witness) ?? 0;
      const body = writeConsistency({ old, path: tree.consistency(old), checkpoint: checkpoint.text });
      const response = await fetch(`${witness.url.replace(/\/$/, '')}/add-checkpoint`, {
        method: 'POST',
        body,
        redirect: 'error',
        signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(milliseconds)]),
      });
      const answer = await shortText(response);
      if (response.status === 409) {
        const size = parseDecimal(answer.replace(/\n$/, ''));
        if (size === undefined)
          throw new Error(`It answered 409 and ${JSON.stringify(answer.slice(0, 100))}, which is no size.`);
        if (size > checkpoint.size)
          throw new Error(
            `It saw ${size} entries of this ledger, of which ${checkpoint.size} are published: an older copy was put back, or somebody else has the key.`,
          );
        this.#seen.set(witness, size);
        continue;
      }
      if (response.status !== 200)
        throw new Error(`It answered ${response.status}: ${JSON.stringify(answer.slice(0, 200))}.`);
      const note = { text: checkpoint.note.text, signatures: parseSignatureLines(answer) };
      const signatures = verifiedSignatures(note, [witness.key]);
      if (signatures.length === 0)
        throw new Error(`It did not sign with ${witness.key.name} (${witness.key.id}).`);
      this.#seen.set(witness, checkpoint.size);
      return signatures;
    }
    throw new Error('It saw another tree each time that it was asked.');
  }

  /** Unless a newer one is published by now. */
  #add(checkpoint: Checkpoint, more: readonly NoteSignature[]): void {
    const text = this.#published.checkpoint();
    const now = text === undefined ? undefined : openCheckpoint(text, this.#options.keys());
    if (now?.note.text !== checkpoint.note.text) return;
    const others = now.note.signatures.filter(
      ({ name, id }) => !more.some((one) => one.name === name && one.id === id),
    );
    const note = writeNote({ text: now.note.text, signatures: [...others, ...more] });
    writeFileDurably(join(this.#options.folder, checkpointFile), note);
  }
}

const hasSigned = ({ note }: Checkpoint, { key }: Witness) =>
  note.signatures.some(({ name, id }) => name === key.name && id === key.id);

/** An answer of at most 64 KiB. */
async function shortText({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of (body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += part.length;
    if (bytes > 65_536) throw new Error('Its answer has more than 65536 bytes.');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function sentenceOf(error: unknown): string {
  const { message, cause, name } = error as Error;
  if (name === 'TimeoutError') return 'It did not answer in time.';
  return cause instanceof Error ? `It could not be asked: ${cause.message}.` : message;
}
