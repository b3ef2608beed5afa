/**
 * Single rows of a GGUF file's weights as float32, for the demo adapters. The engine has its own loader; this one reads
 * a few hundred kilobytes without it.
 */
import { type FileHandle, open } from 'node:fs/promises';

interface BlockType {
  elements: number;
  bytes: number;
  decode(view: DataView, at: number, out: Float32Array, to: number): void;
}

/** The tensor types that can be decoded here, by their number in GGUF. */
const blockTypes: Record<number, BlockType> = {
  0: {
    elements: 1,
    bytes: 4,
    decode(view, at, out, to) {
      out[to] = view.getFloat32(at, true);
    },
  },
  1: {
    elements: 1,
    bytes: 2,
    decode(view, at, out, to) {
      out[to] = half(view.getUint16(at, true));
    },
  },
  2: {
    elements: 32,
    bytes: 18,
    decode: (view, at, out, to) => nibbles(view, at + 2, out, to, half(view.getUint16(at, true)), -8),
  },
  3: {
    elements: 32,
    bytes: 20,
    decode(view, at, out, to) {
      nibbles(view, at + 4, out, to, half(view.getUint16(at, true)), 0, half(view.getUint16(at + 2, true)));
    },
  },
  8: {
    elements: 32,
    bytes: 34,
    decode(view, at, out, to) {
      const scale = half(view.getUint16(at, true));
      for (let i = 0; i < 32; i++) out[to + i] = scale * view.getInt8(at + 2 + i);
    },
  },
};

function nibbles(
  view: DataView,
  at: number,
  out: Float32Array,
  to: number,
  scale: number,
  shift: number,
  minimum = 0,
) {
  for (let i = 0; i < 16; i++) {
    const pair = view.getUint8(at + i);
    out[to + i] = scale * ((pair & 15) + shift) + minimum;
    out[to + i + 16] = scale * ((pair >> 4) + shift) + minimum;
  }
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return exponent === 31 ? Number.NaN : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

interface TensorEntry {
  columns: number;
  rows: number;
  type: number;
  offset: number;
}

/** Longest beginning of a file that is searched for its tensors' names. */
const MAX_HEADER_BYTES = 64 << 20;

export class GgufWeights {
  readonly #file: FileHandle;
  readonly #tensors: Map<string, TensorEntry>;

  private constructor(file: FileHandle, tensors: Map<string, TensorEntry>) {
    this.#file = file;
    this.#tensors = tensors;
  }

  static async open(path: string): Promise<GgufWeights> {
    const file = await open(path);
    try {
      return new GgufWeights(file, await readDirectory(file));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** [rows, columns] of a tensor; throws where there is none of that name. */
  shape(name: string): [rows: number, columns: number] {
    const { rows, columns } = this.#entry(name);
    return [rows, columns];
  }

  /** Row `row`. */
  async row(name: string, row: number): Promise<Float32Array> {
    return this.#decode(name, row, 1);
  }

  /** All rows, one behind the other. */
  async matrix(name: string): Promise<Float32Array> {
    return this.#decode(name, 0, this.#entry(name).rows);
  }

  async #decode(name: string, row: number, rows: number): Promise<Float32Array> {
    const entry = this.#entry(name);
    const type = blockTypes[entry.type];
    if (!type || entry.columns % type.elements !== 0) {
      throw new Error(`The tensor ${name} has the type ${entry.type}, which is not read here.`);
    }
    const blocks = (entry.columns / type.elements) * rows;
    const bytes = Buffer.alloc(blocks * type.bytes);
    const { bytesRead } = await this.#file.read(
      bytes,
      0,
      bytes.length,
      entry.offset + (row * entry.columns * type.bytes) / type.elements,
    );
    if (bytesRead < bytes.length) throw new Error(`The tensor ${name} is cut short.`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const out = new Float32Array(rows * entry.columns);
    for (let block = 0; block < blocks; block++)
      type.decode(view, block * type.bytes, out, block * type.elements);
    return out;
  }

  #entry(name: string): TensorEntry {
    const entry = this.#tensors.get(name);
    if (!entry) throw new Error(`The model has no tensor ${name}.`);
    return entry;
  }
}

/** Bytes of a metadata value of fixed size, by type. */
const valueBytes: Record<number, number> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** Skips the metadata but for the alignment, and reads where each tensor is. */
async function readDirectory(file: FileHandle): Promise<Map<string, TensorEntry>> {
  const { size } = await file.stat();
  const bytes = Buffer.alloc(Math.min(size, MAX_HEADER_BYTES));
  await file.read(bytes, 0, bytes.length, 0);
  let at = 0;
  const take = (length: number) => {
    const start = at;
    at += length;
    return start;
  };
  const u32 = () => bytes.readUInt32LE(take(4));
  const u64 = () => Number(bytes.readBigUInt64LE(take(8)));
  const text = () => {
    const length = u64();
    const start = take(length);
    return bytes.toString('utf8', start, start + length);
  };
  const skip = (type: number): void => {
    if (type === 8) text();
    else if (type === 9) {
      const inner = u32();
      const count = u64();
      if (valueBytes[inner]) at += valueBytes[inner] * count;
      else for (let i = 0; i < count; i++) skip(inner);
    } else at += valueBytes[type] ?? Number.POSITIVE_INFINITY;
  };
  if (u32() !== 0x46554747 || u32() !== 3) throw new Error('The file is no GGUF of version 3.');
  const tensorCount = u64();
  const keyCount = u64();
  let alignment = 32;
  for (let i = 0; i < keyCount; i++) {
    const key = text();
    const type = u32();
    if (key === 'general.alignment' && type === 4) alignment = bytes.readUInt32LE(at);
    skip(type);
  }
  const tensors = new Map<string, TensorEntry>();
  for (let i = 0; i < tensorCount; i++) {
    const name = text();
    const sizes = Array.from({ length: u32() }, u64);
    const type = u32();
    tensors.set(name, {
      columns: sizes[0] ?? 1,
      rows: sizes.slice(1).reduce((a, b) => a * b, 1),
      type,
      offset: u64(),
    });
  }
  const start = Math.ceil(at / alignment) * alignment;
  for (const entry of tensors.values()) entry.offset += start;
  return tensors;
}
