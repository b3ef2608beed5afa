import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Registry } from 'prom-client';
import type { Static, TSchema } from 'typebox';
import type { Attributor, ExampleOrigin } from './attribution.ts';
import type { Backend } from './backend.ts';
import type { MeterSink } from './metering.ts';

/** The contract's version; a plugin names the one that it was built for. */
export const CONTRACT_VERSION = 1;

/** Implementations that plugins offer, by extension point. */
export interface ExtensionPoints {
  backend: Backend;
  fileSource: FileSource;
  attributor: Attributor;
  meterSink: MeterSink;
}

/** Files that are not uploaded but made of something else: their ids begin with `prefix`, "datanet:". */
export interface FileSource {
  prefix: string;
  /** The file as a tenant may see it; throws ColophonError where there is none. */
  find(id: string, caller: { tenant: string; operator: boolean }): Promise<NamedFile>;
  /**
   * The line of an example by its hash (ExampleOrigin), where the caller may read it; undefined where it was withdrawn. Throws
   * ColophonError where the caller may not, or there is no such file.
   */
  example?(
    id: string,
    hash: string,
    caller: { tenant: string; operator: boolean },
  ): Promise<string | undefined>;
}

export interface NamedFile {
  /** What names this very content for ever, where the id that was asked for may come to name another. */
  id?: string;
  filename: string;
  purpose: string;
  bytes: number;
  /** Unix seconds. */
  createdAt: number;
  content(): AsyncIterable<Uint8Array>;
  /** Who gave each line, in order; absent where nobody is named. */
  origins?(): AsyncIterable<ExampleOrigin>;
}

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Who sent a request. */
export interface RequestCaller {
  tenant: string;
  /** Whether it may do everything: it has the server's own key, or the server needs none. */
  operator: boolean;
  /** The lowest priority that it may ask for; absent: any. */
  minPriority?: number;
}

/** A file that a tenant gave, or was given, through /v1/files. */
export interface TenantFile {
  id: string;
  filename: string;
  purpose: string;
  bytes: number;
  content(): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>;
  /** Who gave each line, in order; absent where nobody is named. */
  origins?(): AsyncIterable<ExampleOrigin>;
}

export interface TenantFiles {
  /** An uploaded file, or one that a plugin makes; undefined where the caller has none of that id. */
  find(caller: RequestCaller, id: string): Promise<TenantFile | undefined>;
  /** A new file of the tenant's; resolves with its id when it is durable. */
  create(
    tenant: string,
    description: { filename: string; purpose: string },
    content: AsyncIterable<Uint8Array>,
  ): Promise<string>;
}

/** A message of a chat, as OpenAI spells it. */
export interface TextMessage {
  role: string;
  content?: string | null | Array<{ type: string; text?: string; [key: string]: unknown }>;
  [key: string]: unknown;
}

/** A model's text as tokens. Special-token strings in messages stay plain text. */
export interface ModelText {
  readonly endTokenIds: readonly number[];
  readonly vocabularySize: number;
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  encode(text: string, options?: { special?: 'parse' | 'plain'; addBos?: boolean }): number[];
  /** As the model's template writes it; `addGenerationPrompt` (default true) ends it where an answer begins. */
  encodeChat(
    messages: TextMessage[],
    options?: { addGenerationPrompt?: boolean; tools?: unknown[] },
  ): { text: string; ids: number[] };
}

/** What `setup` is given. Registration ends when setup resolves. */
export interface Host {
  /** Name of the plugin, for messages. */
  readonly plugin: string;
  readonly log: Logger;
  /** Folders of this installation. */
  readonly paths: { home: string; cache: string; data: string };
  /** The plugin's metrics go here; names start with `colophon_`. */
  readonly metrics: Registry;
  /** Offers an implementation of an extension point. */
  provide<Point extends keyof ExtensionPoints>(point: Point, implementation: ExtensionPoints[Point]): void;
  /** Everything offered so far, in order of registration. */
  all<Point extends keyof ExtensionPoints>(point: Point): ReadonlyArray<ExtensionPoints[Point]>;
  /** Who sent a request to one of the plugin's routes. */
  caller(request: FastifyRequest): RequestCaller;
  /** Files of tenants; from `ready` on. */
  readonly files: TenantFiles;
  /** The text side of a model that is served; a 404 where there is none. From `ready` on. */
  text(model: string): Promise<ModelText>;
  /** Adds routes in an encapsulated Fastify instance, once the server is built. */
  routes(register: (app: FastifyInstance) => void | Promise<void>): void;
}

/** Life cycle: setup (returns the hooks), ready, drain, close. */
export interface PluginHooks {
  /** The server is about to listen. */
  ready?(): void | Promise<void>;
  /** No new requests come; running ones go on. */
  drain?(): void | Promise<void>;
  close?(): void | Promise<void>;
}

export interface Plugin<Schema extends TSchema = TSchema> {
  name: string;
  contract: typeof CONTRACT_VERSION;
  /** TypeBox schema of the plugin's config; mark secrets with `{ secret: true }`. */
  config: Schema;
  /** The extension points it fills. */
  provides: ReadonlyArray<keyof ExtensionPoints>;
  setup(host: Host, config: Static<Schema>): PluginHooks | void | Promise<PluginHooks | void>;
}

/** Declares a plugin; the identity function, for its types. */
export function definePlugin<Schema extends TSchema>(plugin: Plugin<Schema>): Plugin<Schema> {
  return plugin;
}
