/** A typed array that grows by chunks, so that growing copies nothing and holds nothing twice. */
type Words = Uint32Array | Float64Array;

const chunkLength = 2 ** 16;

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
    this.#chunks.at(-1)![this.#length++ % chunkLength] = value;
  }

  at(index: number): number {
    return this.#chunks[Math.floor(index / chunkLength)]![index % chunkLength]!;
  }

  set(index: number, value: number): void {
    while (this.#length <= index) this.push(0);
    this.#chunks[Math.floor(index / chunkLength)]![index % chunkLength] = value;
  }
}
