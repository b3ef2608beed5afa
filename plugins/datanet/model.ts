/**
 * What a Datanet is made of. Everything here is plain data; the rooms beside this file work on it:
 * formats/ (files to examples), curation/ (which examples count), snapshots/ (what is frozen and proved), store/ (where it
 * lies), jobs/ (what takes long), http/ (how one asks for it).
 */
import type { CurationChange } from './curation/settings.ts';

/** Who may do what in a Datanet; each role has those before it. The tenant that makes a Datanet is its owner. */
export type Role = 'contributor' | 'curator' | 'owner';

/** What examples of a Datanet have to be. */
export type ExampleKind = 'chat' | 'completion' | 'text' | 'preference';

export interface Datanet {
  id: string;
  /** Unique; lower-case letters, digits and hyphens. */
  name: string;
  domain: string;
  description: string;
  /** Kinds of examples that it takes. */
  kinds: ExampleKind[];
  /** JSON schema that every example must meet, beyond its kind's; null: none. */
  schema: Record<string, unknown> | null;
  licencePolicy: LicencePolicy;
  /** What its curations do that differs from the defaults (curation/settings.ts). */
  curation: CurationChange;
  /** Tenant. */
  owner: string;
  /** Whether any tenant may contribute, or only those that have a role. */
  open: boolean;
  /** Bytes of contributions that one contributor may have here. */
  contributorBytes: number;
  /** Unix seconds. */
  createdAt: number;
}

/** SPDX licence ids. A contribution must name one of `allowed`, or where that is empty any known one; never one of `denied`. */
export interface LicencePolicy {
  allowed: string[];
  denied: string[];
  /** What snapshots are published under, where that is settled: contributions must be compatible with it. */
  outbound: string | null;
}

export interface Contributor {
  id: string;
  /** Tenant that speaks for the contributor. */
  tenant: string;
  name: string;
  payoutAddress: string | null;
  /** Ed25519, raw 32 bytes in hex; null: contributions are not signed. */
  publicKey: string | null;
  createdAt: number;
}

/**
 * submitted -> checked (its file was read, its rows are examples or refused rows) -> accepted or rejected by a reviewer;
 * withdrawn from any state. `failed`: its file cannot be read at all.
 */
export type ContributionState = 'submitted' | 'checked' | 'failed' | 'accepted' | 'rejected' | 'withdrawn';

export interface Contribution {
  id: string;
  datanet: string;
  contributor: string;
  /** As it was called when it came. */
  filename: string;
  /** How its rows are read. */
  format: FormatOptions;
  /** SHA-256 of the bytes as they came, hex. */
  sha256: string;
  bytes: number;
  /** SPDX id. */
  licence: string;
  /** Where it comes from: a URL, a book, "own work". */
  source: string;
  /** Statement of the right to give it. */
  rights: string;
  /** Ed25519 over signedStatement(contribution), hex. */
  signature: string | null;
  /** The key that the signature is by: its contributor may have another by now. Null where there is no signature. */
  publicKey: string | null;
  state: ContributionState;
  reviewer: string | null;
  reason: string | null;
  /** Rows read, of which refused. */
  rows: number;
  refused: number;
  createdAt: number;
  reviewedAt: number | null;
}

/** How a file's rows become examples; what is not given is found out from the file's name and its first bytes. */
export interface FormatOptions {
  format?: FormatName;
  /** Of a table's columns (CSV, Parquet), or of other keys of JSON lines: which one is which part of an example. */
  columns?: ColumnMapping;
  /** Of documents: characters of a chunk and of the overlap of two. */
  chunkCharacters?: number;
  chunkOverlap?: number;
}

export type FormatName =
  | 'chat' // OpenAI's chat JSONL, with tools and preference pairs
  | 'completion' // prompt/completion JSONL
  | 'alpaca'
  | 'sharegpt'
  | 'csv'
  | 'parquet'
  | 'text'
  | 'markdown';

export interface ColumnMapping {
  system?: string;
  prompt?: string;
  completion?: string;
  /** A column with a whole conversation (a list of messages, or its JSON). */
  messages?: string;
  /** A list of tools, or its JSON. */
  tools?: string;
  text?: string;
  /** Of a preference: the two answers, as texts or lists of messages; what they answer is in `messages` or `prompt`. */
  preferred_output?: string;
  non_preferred_output?: string;
  /** See Example.source and Example.group. */
  source?: string;
  group?: string;
}

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content: string | null;
  name?: string;
  /** Of assistant messages: whether it is learned from; 1 where it is not said. */
  weight?: 0 | 1;
  tool_calls?: unknown[];
  tool_call_id?: string;
}

/** What is learned: the part of an example that is hashed. */
export type Content =
  | { messages: Message[]; tools?: unknown[] }
  | { prompt: string; completion: string }
  | { text: string }
  | {
      input: { messages: Message[]; tools?: unknown[] };
      preferred_output: Message[];
      non_preferred_output: Message[];
    };

/** One row of a contribution, read and found well formed. */
export interface Example {
  content: Content;
  /** Where the row says that it comes from (a document, a site): a source's examples are never in train and held-out both. */
  source?: string;
  /** Rows that belong together (a concept and its paraphrases): as `source`. */
  group?: string;
}

/** A row that did not become an example. */
export interface RefusedRow {
  /** From 1; of a Parquet file the row, of any other the line on which the row begins. */
  line: number;
  /** Path of the field at fault, "messages[1].role"; null: the row as a whole. */
  field: string | null;
  /** A sentence: what is wrong, with which value. */
  reason: string;
  /** As it came, its first 64 KiB. */
  raw: string;
}

/** An example as it is stored. */
export interface StoredExample {
  /** Within the Datanet, in the order in which they came. */
  seq: number;
  datanet: string;
  contribution: string;
  contributor: string;
  /** Line or row in its contribution, as RefusedRow.line. */
  line: number;
  /** SHA-256 of its canonical content (snapshots/canonical.ts), hex. */
  hash: string;
  /** SHA-256 of the content before curation masked something in it; null: nothing was. */
  originalHash: string | null;
  source: string | null;
  group: string | null;
  /** Where its canonical content lies; null: it was erased. */
  place: Place | null;
}

/** Examples of one hash that were withdrawn at once, while their contributions stayed. */
export interface ExampleWithdrawal {
  /** In the order in which they came. */
  id: number;
  datanet: string;
  hash: string;
  /** Tenant. */
  by: string;
  reason: string | null;
  /** How many lost their text. */
  examples: number;
  /** Unix seconds. */
  at: number;
}

/** A stretch of a blob. */
export interface Place {
  /** SHA-256 of the blob, hex. */
  blob: string;
  offset: number;
  bytes: number;
}

/** A snapshot's example: where its text lies, and what its row says that it belongs to. */
export interface TextPlace extends Place {
  source: string | null;
  group: string | null;
}

export type Split = 'train' | 'validation' | 'test';

/** Share of each split, of examples; they add up to 1. */
export type SplitShares = Record<Split, number>;

export interface SnapshotSettings {
  curation: string | null;
  seed: number;
  shares: SplitShares;
  /** What train and held-out never share besides near-duplicate clusters (and groups). */
  apart: 'contributor' | 'source' | 'cluster';
}

export interface Snapshot {
  /** Merkle root, hex. */
  id: string;
  datanet: string;
  /** The Datanet's latest snapshot before it, or null. */
  parent: string | null;
  settings: SnapshotSettings;
  counts: { examples: number; contributions: number; contributors: number; splits: Record<Split, number> };
  /** SHA-256 of the manifest's blob (snapshots/manifest.ts), hex. */
  manifest: string;
  /** Root over who gave each example (snapshots/provenance.ts), hex; null: of a snapshot that was made before there was one. */
  provenance: string | null;
  createdAt: number;
}

/** A line of a snapshot's manifest, in the order of its leaves. It has no text: it outlives a withdrawal. */
export interface SnapshotEntry {
  hash: string;
  contribution: string;
  contributor: string;
  line: number;
  split: Split;
  /** Number of its near-duplicate cluster in the snapshot. */
  cluster: number;
}
