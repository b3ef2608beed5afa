/**
 * Thrift's compact protocol, as far as Parquet uses it. Ours, since it reads what strangers send: nothing is allocated that the
 * bytes do not hold, no number is longer than its type, and nesting, values and long texts have limits.
 */

/** Field numbers to values; numbers of 64 bits must be safe integers. */
export type ThriftStruct = Map<number, ThriftValue>;
export type ThriftValue = boolean | number | Uint8Array | ThriftValue[] | ThriftStruct;

/** The bytes end before the struct does: more of them may be there. */
export class ThriftEnd extends Error {}

const deepest = 16;
const mostValues = 1_000_000;

/** Reads one struct, and tells where it ends. */
export function readThrift(bytes: Uint8Array, start = 0): { struct: ThriftStruct; end: number } {
  const reader = new ThriftReader(bytes, start);
  const struct = reader.struct(0);
  return { struct, end: reader.at };
}

class ThriftReader {
  readonly #bytes: Uint8Array;
  #values = 0;
  at: number;

  constructor(bytes: Uint8Array, start: number) {
    this.#bytes = bytes;
    this.at = start;
  }

  struct(depth: number): ThriftStruct {
    if (depth > deepest) throw new Error('its metadata is nested too deep');
    const struct: ThriftStruct = new Map();
    let field = 0;
    for (;;) {
      const head = this.#byte();
      const type = head & 15;
      if (type === 0) return struct;
      field = head >> 4 === 0 ? this.#integer(3) : field + (head >> 4);
      struct.set(field, type <= 2 ? type === 1 : this.#value(type, depth));
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new ThriftEnd('its metadata ends too early');
    return byte;
  }

  /** ULEB128 of at most `bytes` bytes. */
  #varint(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) {
      const byte = this.#byte();
      value += (byte & 127) * 2 ** (7 * i);
      if (byte >= 128) continue;
      if (value <= Number.MAX_SAFE_INTEGER) return value;
      throw new Error('its metadata has a number that is too large');
    }
    throw new Error('its metadata has a number that is too long');
  }

  /** Zigzag. */
  #integer(bytes: number): number {
    const value = this.#varint(bytes);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #value(type: number, depth: number): ThriftValue {
    if (++this.#values > mostValues) throw new Error('its metadata has too many values');
    switch (type) {
      case 1:
      case 2:
        // In lists a boolean has a byte of its own.
        return this.#byte() === 1;
      case 3:
        return (this.#byte() << 24) >> 24;
      case 4:
        return this.#integer(3);
      case 5:
        return this.#integer(5);
      case 6:
        return this.#integer(10);
      case 7:
        // Doubles are in statistics of shapes alone, which nobody asks for.
        return this.#skip(8);
      case 8:
        return this.#binary();
      case 9:
      case 10:
        return this.#list(depth);
      case 12:
        return this.struct(depth + 1);
      default:
        throw new Error(`its metadata has a value of the unknown type ${type}`);
    }
  }

  #skip(bytes: number): number {
    this.at += bytes;
    if (this.at > this.#bytes.length) throw new ThriftEnd('its metadata ends too early');
    return 0;
  }

  #binary(): Uint8Array {
    const length = this.#varint(5);
    const start = this.at;
    this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  #list(depth: number): ThriftValue[] {
    const head = this.#byte();
    const size = head >> 4 === 15 ? this.#varint(5) : head >> 4;
    // Every value has a byte at least.
    if (size > mostValues) throw new Error('its metadata has too many values');
    if (this.at + size > this.#bytes.length) throw new ThriftEnd('its metadata ends too early');
    const list: ThriftValue[] = [];
    for (let i = 0; i < size; i++) list.push(this.#value(head & 15, depth));
    return list;
  }
}
