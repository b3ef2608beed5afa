import { configuredBase } from '../../models/configure.ts';
import { findCachedModel, resolveModel } from '../../models/index.ts';
import { adapterFolders, checkAdapter, nativeSettings } from '../engine.ts';
import { exitCodes, unknownName } from '../failure.ts';
import { type Output, size } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';
import { describeAdapter } from './adapter.ts';

/** What is known of a model by its files. */
export async function show(name: string, flags: ServeFlags, output: Output): Promise<number> {
  const config = configOf(flags);
  const settings = await nativeSettings(config);
  const base = configuredBase(settings);
  const folders = await adapterFolders(config, settings);
  if (name === base.name) return showBase(base, config.paths.cache, output);
  const found = await folders.find(name);
  if (!found) throw unknownName('model', name, [base.name, ...(await folders.list()).keys()]);
  const model = await resolveModel(base.source, {
    cache: config.paths.cache,
    progress: terminalProgress(output),
  });
  const adapter = await checkAdapter(found.path, name, model);
  output.result(...describeAdapter(name, found.path, base.name, adapter));
  output.next(`colophon run ${name}`);
  return exitCodes.ok;
}

async function showBase(
  base: { source: string; name: string },
  cache: string,
  output: Output,
): Promise<number> {
  const local = await findCachedModel(base.source, { cache });
  const facts: Record<string, unknown> = {
    name: base.name,
    kind: 'base',
    source: base.source,
    path: local?.path ?? null,
    bytes: local?.bytes ?? null,
  };
  const lines = [
    `name      ${base.name}`,
    'kind      base',
    `source    ${base.source}`,
    `file      ${local ? `${local.path} (${size(local.bytes)})` : 'not downloaded yet'}`,
  ];
  if (local) {
    const { native } = await import('../../../native/binding/index.ts');
    facts.sha256 = local.format === 'gguf' ? await native().hashFile(local.path) : undefined;
    if (facts.sha256) lines.push(`sha256    ${facts.sha256}`);
    if (local.format === 'gguf') {
      const metadata = await native().readGgufMetadata(local.path);
      const architecture = String(metadata['general.architecture']);
      const field = (key: string) => metadata[`${architecture}.${key}`];
      facts.shape = {
        architecture,
        layers: field('block_count'),
        hidden: field('embedding_length'),
        heads: field('attention.head_count'),
        context: field('context_length'),
      };
      lines.push(
        `shape     ${architecture}, ${field('block_count')} layers of ${field('embedding_length')}, ${field('attention.head_count')} heads`,
        `context   ${field('context_length')} tokens`,
      );
    }
  }
  output.result(facts, lines.join('\n'));
  output.next(local ? `colophon run ${base.name}` : 'colophon pull');
  return exitCodes.ok;
}
