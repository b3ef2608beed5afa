/** Runs plugins through their life: setup, ready, drain, close. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Registry } from 'prom-client';
import { type Config, ConfigError } from '../config/index.ts';
import {
  ColophonError,
  type ExtensionPoints,
  type Host,
  type Logger,
  type ModelText,
  type Plugin,
  type PluginHooks,
  type RequestCaller,
  type TenantFiles,
} from '../contract/index.ts';
import { checkPlugin } from './load_plugins.ts';

type Point = keyof ExtensionPoints;
type RouteRegistration = (app: FastifyInstance) => void | Promise<void>;

interface Running {
  name: string;
  hooks: PluginHooks;
}

export interface PluginHostOptions {
  config: Config;
  log: Logger;
  metrics: Registry;
}

/** What the gateway does for plugins, once it is there itself. */
export interface GatewayServices {
  caller(request: FastifyRequest): RequestCaller;
  files: TenantFiles;
  text(model: string): Promise<ModelText>;
}

export class PluginHost {
  /** Routes that plugins add, in order of registration. */
  readonly routes: Array<{ plugin: string; register: RouteRegistration }> = [];
  readonly #options: PluginHostOptions;
  readonly #provided = new Map<Point, unknown[]>();
  readonly #running: Running[] = [];
  #gateway: GatewayServices | undefined;

  constructor(options: PluginHostOptions) {
    this.#options = options;
  }

  /** Everything offered for an extension point, in order of registration. */
  all<P extends Point>(point: P): ReadonlyArray<ExtensionPoints[P]> {
    return (this.#provided.get(point) ?? []) as Array<ExtensionPoints[P]>;
  }

  /** Before `ready`. */
  connect(gateway: GatewayServices): void {
    this.#gateway = gateway;
  }

  /** Sets plugins up in order; where one fails, those before it are closed again. */
  async setup(plugins: readonly Plugin[]): Promise<void> {
    try {
      for (const plugin of plugins) await this.#setupOne(plugin);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async ready(): Promise<void> {
    for (const { name, hooks } of this.#running) await named(name, 'ready', () => hooks.ready?.());
  }

  /** No new requests come from here on. A plugin that fails to drain does not keep the others from it. */
  async drain(): Promise<void> {
    for (const { name, hooks } of this.#running) await this.#attempt(name, 'drain', () => hooks.drain?.());
  }

  /** In reverse order; once. */
  async close(): Promise<void> {
    for (const { name, hooks } of this.#running.splice(0).reverse()) {
      await this.#attempt(name, 'close', () => hooks.close?.());
    }
    this.#provided.clear();
  }

  async #setupOne(plugin: Plugin): Promise<void> {
    checkPlugin(plugin.name, plugin);
    if (this.#running.some(({ name }) => name === plugin.name)) {
      throw new ConfigError(`The plugin "${plugin.name}" is configured twice.`);
    }
    const config = this.#options.config.plugin(plugin.name, plugin.config);
    let open = true;
    const registration = (what: string) => {
      if (!open) throw new Error(`${what} was called after setup had ended`);
    };
    const gateway = () => {
      if (!this.#gateway)
        throw new Error(`Plugin "${plugin.name}" asked the gateway for something before it was ready.`);
      return this.#gateway;
    };
    const { log, metrics, config: settings } = this.#options;
    const host: Host = {
      plugin: plugin.name,
      log,
      paths: settings.paths,
      metrics,
      provide: (point, implementation) => {
        registration('provide()');
        if (!plugin.provides.includes(point)) {
          throw new Error(`it provides a ${point} but does not list "${point}" under provides`);
        }
        this.#provided.set(point, [...(this.#provided.get(point) ?? []), implementation]);
      },
      all: (point) => this.all(point),
      caller: (request) => gateway().caller(request),
      files: {
        find: (caller, id) => gateway().files.find(caller, id),
        create: (tenant, description, content) => gateway().files.create(tenant, description, content),
      },
      text: (model) => gateway().text(model),
      routes: (register) => {
        registration('routes()');
        this.routes.push({ plugin: plugin.name, register });
      },
    };
    const hooks = await named(plugin.name, 'setup', () => plugin.setup(host, config));
    open = false;
    this.#running.push({ name: plugin.name, hooks: hooks ?? {} });
    for (const point of plugin.provides) {
      if (this.all(point).length === 0) {
        throw new Error(
          `Plugin "${plugin.name}": it lists "${point}" under provides but its setup offered none.`,
        );
      }
    }
  }

  async #attempt(name: string, stage: string, run: () => void | Promise<void>): Promise<void> {
    try {
      await named(name, stage, run);
    } catch (error) {
      this.#options.log.error({ err: error, plugin: name }, `Plugin "${name}" failed in ${stage}.`);
    }
  }
}

/** Errors of a plugin say whose they are; a mistake in the configuration already does. */
async function named<Result>(
  name: string,
  stage: string,
  run: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    const sentence = `Plugin "${name}"${stage === 'setup' ? '' : ` in ${stage}`}: ${why}`;
    throw cause instanceof ColophonError
      ? new ColophonError(sentence, { type: cause.type, code: cause.code, param: cause.param, cause })
      : new Error(sentence, { cause });
  }
}
