import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Registry } from 'prom-client';
import type { Static, TSchema } from 'typebox';
import type { Backend } from './backend.ts';

/** The contract's version; a plugin names the one that it was built for. */
export const CONTRACT_VERSION = 1;

/** Implementations that plugins offer, by extension point. */
export interface ExtensionPoints {
  backend: Backend;
  fileSource: FileSource;
}

/** Files that are not uploaded but made of something else: their ids begin with `prefix`, "datanet:". */
export interface FileSource {
  prefix: string;
  /** The file as a tenant may see it; throws ColophonError where there is none. */
  find(id: string, caller: { tenant: string; operator: boolean }): Promise<NamedFile>;
}

export interface NamedFile {
  filename: string;
  purpose: string;
  bytes: number;
  /** Unix seconds. */
  createdAt: number;
  content(): AsyncIterable<Uint8Array>;
}

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
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
  /** Who a request to the plugin's routes comes from. `operator`: has the server's own key, or the server needs none. */
  caller(request: FastifyRequest): { tenant: string; operator: boolean };
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
