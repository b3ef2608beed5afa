import type { Config } from '../config/index.ts';
import {
  defaultSource,
  type LocalModel,
  type ModelOptions,
  parseSource,
  publicName,
  resolveModel,
} from './index.ts';

interface ModelSettings {
  model?: string;
  model_name?: string;
}

/** Where the configured base comes from, and the id that clients use. */
export function configuredBase(settings: ModelSettings): { source: string; name: string } {
  const source = settings.model ?? defaultSource;
  return { source, name: settings.model_name ?? publicName(parseSource(source)) };
}

/**
 * The configuration with the base's source resolved: the native engine's section then names a file or folder of this
 * machine, besides the source as clients may see it.
 */
export async function withLocalModel(
  config: Config,
  settings: ModelSettings,
  options: ModelOptions = {},
): Promise<{ config: Config; model: LocalModel }> {
  const { source, name } = configuredBase(settings);
  const model = await resolveModel(source, { cache: config.paths.cache, ...options });
  const resolved = { model: model.path, model_name: name, model_source: model.source };
  return {
    model,
    config: {
      ...config,
      plugin: (plugin, schema) => {
        const section = config.plugin(plugin, schema);
        return plugin === 'native' ? ({ ...(section as object), ...resolved } as typeof section) : section;
      },
    },
  };
}
