/** A typed array that grows by chunks, so that growing copies nothing and holds nothing twice. */
type Words = Uint32Array | Float64Array;

/** Shifts and masks find a place twice as fast as divisions; a million rows ask for it some hundred million times. */
const chunkBits = 16;
const chunkLength = 2 ** chunkBits;
const within = chunkLength - 1;

export class Growing<Array extends Words> {
  readonly #make: new (
    length: number,
  ) => Array;
  readonly #chunks: Array[] = [];
  #length = 0;

  constructor(make: new (length: number) => Array) {
    this.#make = make;
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#chunks.length * chunkLength) this.#chunks.push(new this.#make(chunkLength));
    this.#chunks[this.#length >>> chunkBits]![this.#length & within] = value;
    this.#length++;
  }

  at(index: number): number {
    return this.#chunks[index >>> chunkBits]![index & within]!;
  }

  set(index: number, value: number): void {
    while (this.#length <= index) this.push(0);
    this.#chunks[index >>> chunkBits]![index & within] = value;
  }
}
