import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ModelError } from './errors.ts';
import type { HttpClient } from './http.ts';

/** Hugging Face's own settings. */
export interface HubSettings {
  endpoint: string;
  token?: string;
  cache: string;
  offline: boolean;
}

export interface HubFile {
  name: string;
  size?: number;
  sha256?: string;
}

export interface HubRevision {
  commit: string;
  files: HubFile[];
}

/** Files that a safetensors model consists of, besides its weights; those that exist are taken. */
const companions = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/** Reads the settings as huggingface_hub does. */
export async function hubSettings(env: NodeJS.ProcessEnv = process.env): Promise<HubSettings> {
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  const tokenFile = env.HF_TOKEN_PATH ?? join(home, 'token');
  const token = env.HF_TOKEN ?? (await readFile(tokenFile, 'utf8').catch(() => '')).trim();
  return {
    endpoint: (env.HF_ENDPOINT ?? 'https://huggingface.co').replace(/\/+$/, ''),
    ...(token ? { token } : {}),
    cache: env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE ?? join(home, 'hub'),
    offline: /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? ''),
  };
}

export function hubHeaders(settings: HubSettings): Record<string, string> {
  return settings.token ? { authorization: `Bearer ${settings.token}` } : {};
}

/** A snapshot in Hugging Face's cache, where one is: its folder. */
export async function cachedSnapshot(
  settings: HubSettings,
  repository: string,
  revision: string,
): Promise<string | undefined> {
  const folder = join(settings.cache, `models--${repository.replaceAll('/', '--')}`);
  const named = (await readFile(join(folder, 'refs', revision), 'utf8').catch(() => '')).trim();
  const snapshot = join(folder, 'snapshots', named || revision);
  return (await stat(snapshot).catch(() => undefined))?.isDirectory() ? snapshot : undefined;
}

/** What a repository holds at a revision. */
export async function readRevision(
  settings: HubSettings,
  repository: string,
  revision: string,
  client: HttpClient,
): Promise<HubRevision> {
  const url = `${settings.endpoint}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await client.text(url, hubHeaders(settings));
  if (!answer) {
    throw new ModelError(
      'not_found',
      `${new URL(settings.endpoint).host} has no model ${repository} at revision ${revision}. Check the model source; for a private one set HF_TOKEN.`,
    );
  }
  let body: {
    sha?: string;
    siblings?: Array<{ rfilename: string; size?: number; lfs?: { sha256?: string } }>;
  };
  try {
    body = JSON.parse(answer.text);
  } catch (error) {
    throw new ModelError('network', `${url} did not answer with JSON. Check HF_ENDPOINT.`, error);
  }
  return {
    commit: body.sha ?? revision,
    files: (body.siblings ?? []).map((file) => ({
      name: file.rfilename,
      ...(file.size === undefined ? {} : { size: file.size }),
      ...(file.lfs?.sha256 === undefined ? {} : { sha256: file.lfs.sha256 }),
    })),
  };
}

export function fileUrl(settings: HubSettings, repository: string, commit: string, file: string): string {
  const path = file.split('/').map(encodeURIComponent).join('/');
  return `${settings.endpoint}/${repository}/resolve/${encodeURIComponent(commit)}/${path}`;
}

/** The files of a safetensors model among a repository's; a sentence where it is none. */
export function safetensorsFiles(repository: string, files: HubFile[]): HubFile[] {
  const top = files.filter((file) => !file.name.includes('/'));
  const weights = top.filter((file) => /^model.*\.safetensors$/.test(file.name));
  const chosen = weights.length > 0 ? weights : top.filter((file) => file.name.endsWith('.safetensors'));
  if (chosen.length === 0) {
    const gguf = files.filter((file) => file.name.endsWith('.gguf')).map((file) => file.name);
    throw new ModelError(
      'not_found',
      gguf.length > 0
        ? `hf:${repository} has no safetensors, but GGUF files: name one of them, for example hf:${repository}/${gguf[0]}.`
        : `hf:${repository} has no safetensors and no GGUF file; weights in other formats are not read.`,
    );
  }
  const extra = top.filter(
    (file) => companions.includes(file.name) || file.name.endsWith('.safetensors.index.json'),
  );
  for (const needed of ['config.json', 'tokenizer.json']) {
    if (!extra.some((file) => file.name === needed)) {
      throw new ModelError(
        'not_found',
        `hf:${repository} has no ${needed}, which a safetensors model needs to be served.`,
      );
    }
  }
  return [...extra, ...chosen];
}
