/**
 * What commands ask the native engine's plugin without a server: its settings, the adapters in its folders, and whether an
 * adapter fits the base. Imported by commands only, when they run; the server knows the plugin by name alone.
 */
import { join } from 'node:path';
import type { EngineInfo, NativeEngine } from '../../native/binding/index.ts';
import type { AdapterFolders } from '../../plugins/backends/native/adapter_folders.ts';
import type { NativeConfig } from '../../plugins/backends/native/index.ts';
import type { ReadAdapter } from '../../plugins/backends/native/peft.ts';
import type { Config } from '../config/index.ts';
import type { LocalModel } from '../models/index.ts';

export async function nativeSettings(config: Config): Promise<NativeConfig> {
  const { nativeConfig } = await import('../../plugins/backends/native/index.ts');
  return config.plugin('native', nativeConfig);
}

/** The folder that `adapter import` copies into; the plugin looks there too. */
export function ownAdapterFolder(config: Config): string {
  return join(config.paths.home, 'adapters');
}

export async function adapterFolders(config: Config, settings: NativeConfig): Promise<AdapterFolders> {
  const { AdapterFolders } = await import('../../plugins/backends/native/adapter_folders.ts');
  return new AdapterFolders([...settings.adapter_dirs, ownAdapterFolder(config)]);
}

/** An engine on the base with the smallest budgets: for checks, not for generating. */
async function checkingEngine(model: LocalModel): Promise<NativeEngine> {
  const { native } = await import('../../native/binding/index.ts');
  const base =
    model.format === 'gguf'
      ? { format: 'gguf' as const, path: model.path }
      : await import('../../plugins/backends/native/hf_config.ts')
          .then(({ readHuggingFaceBase }) => readHuggingFaceBase(model.path))
          .then(({ paths, hyperparameters }) => ({ format: 'safetensors' as const, paths, hyperparameters }));
  return native().createEngine({ model: base, kvBytes: 1 << 26, adapterBytes: 1 << 26 });
}

/** Reads an adapter's folder and has the engine check its tensors against the base. Throws sentences. */
export async function checkAdapter(
  folder: string,
  name: string,
  model: LocalModel,
): Promise<ReadAdapter & { base: EngineInfo }> {
  const [{ readAdapter }, { native }] = await Promise.all([
    import('../../plugins/backends/native/peft.ts'),
    import('../../native/binding/index.ts'),
  ]);
  const engine = await checkingEngine(model);
  try {
    const base = engine.info();
    const adapter = await readAdapter(folder, base.hyperparameters, name, (path) => native().hashFile(path));
    await engine.registerAdapter(adapter.spec);
    return { ...adapter, base };
  } finally {
    await engine.close();
  }
}
