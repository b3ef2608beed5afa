/**
 * Documents for continued pre-training: plain text and Markdown, cut into chunks at the best border there is: a heading, a
 * paragraph, a line, a sentence, a word.
 */
import type { FormatOptions } from '../model.ts';
import type { ReadLimits, Row } from './format.ts';
import type { Frame } from './frames.ts';
import { checkValue } from './json_row.ts';
import { readLines } from './lines.ts';
import { Refusal, rawText, refusedRow, unknownFormat } from './refusal.ts';
import { decodeUtf8 } from './utf8.ts';

export const defaultChunkCharacters = 4000;

/** Of a document, a line at a time; `starts` is where a paragraph or (2) a section begins. */
interface Piece {
  line: number;
  text: string;
  starts: 0 | 1 | 2;
}

export async function* readDocument(
  chunks: AsyncIterable<Uint8Array>,
  {
    filename,
    markdown,
    start,
    options,
  }: { filename: string; markdown: boolean; start: number; options: FormatOptions },
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  const size = options.chunkCharacters ?? defaultChunkCharacters;
  const overlap = options.chunkOverlap ?? 0;
  if (!Number.isInteger(size) || size < 1 || size > limits.rowBytes) {
    throw unknownFormat(filename, `a chunk must have 1 to ${limits.rowBytes} characters, not ${size}`);
  }
  if (!Number.isInteger(overlap) || overlap < 0 || overlap > size / 4) {
    throw unknownFormat(
      filename,
      `the overlap must be 0 to a quarter of the ${size} characters of a chunk, not ${overlap}`,
    );
  }
  const chunker = new Chunker(size, overlap);
  const structure = new Structure(markdown);
  const row = ({ line, text }: Chunk): Row => ({
    line,
    example: { content: { text }, source: filename.slice(-1000) },
  });
  for await (const batch of readLines(chunks, limits.rowBytes, start)) {
    const rows: Row[] = [];
    for (const frame of batch) {
      try {
        const text = lineText(frame, limits);
        rows.push(...chunker.add({ line: frame.line, text, starts: structure.starts(text) }).map(row));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        rows.push(refusedRow(error, frame.line, rawText(frame.bytes)));
      }
    }
    if (rows.length > 0) yield rows;
  }
  const rest = chunker.end().map(row);
  if (rest.length > 0) yield rest;
}

function lineText({ bytes, offset, size }: Frame, limits: ReadLimits): string {
  if (size > limits.rowBytes) {
    throw new Refusal(null, `Line is longer than ${limits.rowBytes} bytes`, `: it has ${size}`);
  }
  const text = decodeUtf8(bytes, offset);
  checkValue(text);
  return text;
}

/** Where paragraphs and sections begin. */
class Structure {
  readonly #markdown: boolean;
  /** The fence of the code block that the line is in. */
  #fence: string | undefined;
  #blank = true;

  constructor(markdown: boolean) {
    this.#markdown = markdown;
  }

  starts(line: string): 0 | 1 | 2 {
    const blank = this.#blank;
    this.#blank = line.trim() === '';
    if (this.#markdown) {
      // CommonMark: a block in fences is of one piece, whatever its lines look like.
      const fence = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
      const inside = this.#fence !== undefined;
      if (fence !== undefined) {
        if (!inside) this.#fence = fence;
        else if (fence[0] === this.#fence![0] && fence.length >= this.#fence!.length) this.#fence = undefined;
      }
      if (inside) return 0;
      if (/^ {0,3}#{1,6}(\s|$)/.test(line)) return 2;
    }
    return blank && !this.#blank ? 1 : 0;
  }
}

interface Chunk {
  line: number;
  text: string;
}

/** Gathers lines up to the size of a chunk; never holds more than one, the line that comes and the overlap. */
class Chunker {
  readonly #size: number;
  readonly #overlap: number;
  #pieces: Piece[] = [];
  #characters = 0;
  /** Whether what is held is more than what the last chunk had at its end already. */
  #fresh = false;

  constructor(size: number, overlap: number) {
    this.#size = size;
    this.#overlap = overlap;
  }

  add(piece: Piece): Chunk[] {
    const chunks: Chunk[] = [];
    for (const part of split(piece, this.#size)) {
      while (this.#fresh && this.#characters + part.text.length > this.#size) chunks.push(...this.#cut(part));
      // What is only the end of the chunk before gives way where the line does not fit beside it.
      if (this.#characters + part.text.length > this.#size) this.#keep([]);
      this.#pieces.push(part);
      this.#characters += part.text.length + 1;
      this.#fresh = true;
    }
    return chunks;
  }

  end(): Chunk[] {
    return this.#fresh ? chunkOf(this.#pieces) : [];
  }

  /** Ends a chunk at the best border in its second half, or where `next` begins. */
  #cut(next: Piece): Chunk[] {
    const borders = [...this.#pieces.slice(1), next];
    let best = borders.length;
    let behind = 0;
    let rank = next.starts;
    for (let i = 0; i < borders.length; i++) {
      behind += this.#pieces[i]!.text.length + 1;
      if (behind >= this.#size / 2 && borders[i]!.starts > rank) {
        rank = borders[i]!.starts;
        best = i + 1;
      }
    }
    // Of borders that are as good, the last one.
    for (let i = best; i < borders.length; i++) if (borders[i]!.starts === rank) best = i + 1;
    const taken = this.#pieces.slice(0, best);
    this.#keep([...overlapOf(taken, this.#overlap), ...this.#pieces.slice(best)]);
    this.#fresh = best < borders.length;
    return chunkOf(taken);
  }

  #keep(pieces: Piece[]): void {
    this.#pieces = pieces;
    this.#characters = pieces.reduce((sum, { text }) => sum + text.length + 1, 0);
  }
}

/** The last lines of a chunk that together are no longer than the overlap. */
function overlapOf(pieces: Piece[], overlap: number): Piece[] {
  let from = pieces.length;
  let characters = 0;
  while (from > 1 && characters + pieces[from - 1]!.text.length + 1 <= overlap) {
    characters += pieces[--from]!.text.length + 1;
  }
  return pieces.slice(from);
}

function chunkOf(pieces: Piece[]): Chunk[] {
  const text = pieces
    .map((piece) => piece.text)
    .join('\n')
    .trim();
  const first = pieces.find((piece) => piece.text.trim() !== '');
  return first === undefined ? [] : [{ line: first.line, text }];
}

/** A line as parts that fit in a chunk: cut behind a sentence, else between words, else between characters. */
function split(piece: Piece, size: number): Piece[] {
  if (piece.text.length <= size) return [piece];
  const parts: Piece[] = [];
  let rest = piece.text;
  while (rest.length > size) {
    const window = rest.slice(0, size + 1);
    const half = size / 2;
    const sentence = Math.max(...['. ', '! ', '? ', '。'].map((end) => window.lastIndexOf(end) + 1));
    const word = window.lastIndexOf(' ');
    let at = sentence >= half ? sentence : word >= half ? word : size;
    // Not through the two halves of a character.
    if (at > 1 && /[\ud800-\udbff]/.test(rest[at - 1]!)) at--;
    parts.push({ ...piece, text: rest.slice(0, at), starts: parts.length === 0 ? piece.starts : 0 });
    rest = rest.slice(at).replace(/^ /, '');
  }
  return rest === '' ? parts : [...parts, { ...piece, text: rest, starts: 0 }];
}
