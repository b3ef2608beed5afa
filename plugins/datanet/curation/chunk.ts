/** What a thread does to a chunk of rows: every row stage, one after another, and the fingerprints for the search for duplicates. */
import { hash } from 'node:crypto';
import type { Content } from '../model.ts';
import { canonicalContent } from '../snapshots/canonical.ts';
import { Fingerprinter, type Fingerprints } from './fingerprints.ts';
import { rowStages } from './row_stages.ts';
import type { Finding, Item, StageInput } from './stage.ts';
import { ownText } from './texts.ts';

/** Rows as they are stored: canonical contents one after another, and where each ends. */
export interface Chunk {
  seqs: number[];
  bytes: Uint8Array;
  ends: number[];
}

export interface ChunkInput extends StageInput {
  /** Whether the contents are given back as the stages leave them: for stages that ask the engine. */
  contents: boolean;
}

/** A stage's findings; `masked`: where the row's new content lies in `masks`, told with the last stage that changed it. */
export interface ChunkFinding extends Omit<Finding, 'content'> {
  stage: string;
  masked?: { hash: string; offset: number; bytes: number };
}

export interface Told {
  counts: Record<string, number>;
  measures: Record<string, number[]>;
}

export interface ChunkResult {
  findings: ChunkFinding[];
  /** Canonical contents of the rows that were changed, one after another. */
  masks: Uint8Array;
  /** By stage. */
  told: Record<string, Told>;
  fingerprints: Fingerprints | null;
  contents: Content[] | null;
}

/** Every row goes through every stage, whatever an earlier one says of it: its report names all that is wrong with it. */
export class ChunkCurator {
  readonly #input: ChunkInput;
  readonly #stages;
  readonly #fingerprinter: Fingerprinter | undefined;

  constructor(input: ChunkInput) {
    this.#input = input;
    this.#stages = rowStages(input.settings);
    const { duplicates } = input.settings;
    if (duplicates.enabled) this.#fingerprinter = new Fingerprinter(duplicates);
  }

  async run({ seqs, bytes, ends }: Chunk): Promise<ChunkResult> {
    const texts = ends.map((end, row) => bytes.subarray(row === 0 ? 0 : ends[row - 1]!, end));
    let items = texts.map(
      (text, row): Item => ({ seq: seqs[row]!, content: JSON.parse(decoder.decode(text)) }),
    );
    const findings: ChunkFinding[] = [];
    const told: ChunkResult['told'] = {};
    /** By seq: the finding of the last stage that changed the row. */
    const changed = new Map<number, ChunkFinding>();
    for (const { name, each } of this.#stages) {
      const said = await each(items, this.#input);
      told[name] = { counts: said.counts ?? {}, measures: said.measures ?? {} };
      const becomes = new Map<number, Content>();
      for (const { content, ...finding } of said.findings) {
        const here: ChunkFinding = { ...finding, stage: name };
        findings.push(here);
        if (!content) continue;
        becomes.set(finding.seq, content);
        changed.set(finding.seq, here);
      }
      if (becomes.size === 0) continue;
      items = items.map(({ seq, content }) => ({ seq, content: becomes.get(seq) ?? content }));
    }
    const masks: Uint8Array[] = [];
    const digests: Uint8Array[] = [];
    let offset = 0;
    for (const [row, { seq, content }] of items.entries()) {
      const finding = changed.get(seq);
      if (!finding) {
        if (this.#fingerprinter) digests.push(hash('sha256', texts[row]!, 'buffer'));
        continue;
      }
      const { bytes: mask, hash: hex } = canonicalContent(content);
      masks.push(mask);
      digests.push(Buffer.from(hex, 'hex'));
      finding.masked = { hash: hex, offset, bytes: mask.length };
      offset += mask.length;
    }
    const rows = () =>
      items.map(({ seq, content }, row) => ({ seq, digest: digests[row]!, text: ownText(content) }));
    return {
      findings,
      masks: joined(masks),
      told,
      fingerprints: this.#fingerprinter?.of(rows()) ?? null,
      contents: this.#input.contents ? items.map(({ content }) => content) : null,
    };
  }
}

const decoder = new TextDecoder();

/** Not Buffer.concat: its small results lie in a pool that they share, which cannot be handed to another thread. */
function joined(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
