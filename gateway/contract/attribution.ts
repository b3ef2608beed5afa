/** Who taught a model what it says: what attributors are told of a generation, and what they make of it. */

/** A run of tokens that occurs in what an adapter was trained on: how long it is, and the rows of its occurrences in the trace index. */
export interface TokenMatch {
  length: number;
  row: number;
  count: number;
}

/** Who gave a line of a file of examples. */
export interface ExampleOrigin {
  /** SHA-256 of the example's canonical form, hex. */
  example: string;
  contribution: string;
  contributor: string;
  /** Examples of one cluster say nearly the same; one that is alone has one of its own. */
  cluster: string;
}
