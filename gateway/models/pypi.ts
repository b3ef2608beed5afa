import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ModelError } from './errors.ts';
import type { HttpClient } from './http.ts';
import type { PipSettings } from './pip.ts';

/** A wheel that an index, or a folder of wheels, offers. */
export interface WheelFile {
  filename: string;
  version: string;
  /** http(s): or file: */
  url: string;
  /** As the index states it. */
  sha256?: string;
  yanked: boolean;
}

/** PEP 503: names are compared in lower case with runs of -, _ and . as one dash. */
const normalised = (name: string) => name.toLowerCase().replace(/[-_.]+/g, '-');

/**
 * The wheel of a package by pip's settings: folders of wheels first, then the indexes in order. Without a version: the
 * newest that is neither a pre-release nor yanked.
 */
export async function findWheel(
  name: string,
  version: string | undefined,
  settings: PipSettings,
  client: HttpClient,
): Promise<WheelFile> {
  const seen: WheelFile[] = [];
  const places: string[] = [];
  for (const place of settings.findLinks) {
    seen.push(...(await wheelsAt(place, name, client)));
    const found = choose(seen, version);
    if (found && version !== undefined) return found;
  }
  for (const index of settings.indexes) {
    const root = index.replace(/\/+$/, '');
    places.push(hostOf(root));
    const page = await client.text(`${root}/${normalised(name)}/`, {
      accept:
        'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1',
    });
    if (page)
      seen.push(
        ...(page.type.includes('json')
          ? fromJson(page.text, page.url)
          : fromHtml(page.text, page.url)
        ).filter(named(name)),
      );
    const found = choose(seen, version);
    if (found) return withLogin(found, root);
  }
  const found = choose(seen, version);
  if (found) return found;
  const where =
    places.length > 0
      ? `the package index (${places.join(', ')})`
      : "pip's folders of wheels (its settings name no index)";
  const others = [...new Set(seen.map((wheel) => wheel.version))];
  throw new ModelError(
    'not_found',
    others.length > 0
      ? `${where} has no wheel of ${name} ${version ?? 'that is not a pre-release'}, but of ${others.slice(-8).join(', ')}. Name one of these in the model source.`
      : `${where} has no wheels of ${name}. Check the package's name in the model source, and pip's index settings.`,
  );
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    throw new ModelError(
      'source',
      `pip's settings name the index "${url}", which is not a URL. Mend PIP_INDEX_URL or pip.conf.`,
    );
  }
}

const named = (name: string) => (wheel: WheelFile) =>
  normalised(wheel.filename.split('-')[0]!) === normalised(name);

/** Wheels run anywhere when they say so; a member of them is the same in all of a version's wheels otherwise. */
function choose(wheels: WheelFile[], version: string | undefined): WheelFile | undefined {
  const fitting = wheels.filter((wheel) =>
    version === undefined
      ? !wheel.yanked && !/\d(a|b|rc|\.?dev)\d*/.test(wheel.version)
      : wheel.version === version,
  );
  const newest = fitting
    .map((wheel) => wheel.version)
    .sort(compareVersions)
    .at(-1);
  const candidates = fitting.filter((wheel) => wheel.version === newest);
  return candidates.find((wheel) => wheel.filename.endsWith('-none-any.whl')) ?? candidates[0];
}

/** Numbers by value, so that 0.10 comes after 0.9. */
export function compareVersions(a: string, b: string): number {
  const parts = (text: string) => text.split(/[.+-]/).map((part) => (/^\d+$/.test(part) ? Number(part) : -1));
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Credentials of the index serve its own files too. */
function withLogin(wheel: WheelFile, index: string): WheelFile {
  const root = new URL(index);
  const url = new URL(wheel.url);
  if (!root.username || root.host !== url.host) return wheel;
  url.username = root.username;
  url.password = root.password;
  return { ...wheel, url: url.href };
}

function wheelOf(
  filename: string,
  url: string,
  more: { sha256?: string | undefined; yanked?: boolean } = {},
): WheelFile[] {
  const version = filename.split('-')[1];
  // Both become names of files here.
  if (!/^[\w.+!-]+\.whl$/.test(filename) || !/^\d[\w.+!]*$/.test(version ?? '') || version === undefined)
    return [];
  const sha256 = more.sha256 === undefined ? {} : { sha256: more.sha256.toLowerCase() };
  return [{ filename, version, url, yanked: more.yanked ?? false, ...sha256 }];
}

/** PEP 691. */
export function fromJson(text: string, base: string): WheelFile[] {
  let page: {
    files?: Array<{
      filename: string;
      url: string;
      hashes?: Record<string, string>;
      yanked?: boolean | string;
    }>;
  };
  try {
    page = JSON.parse(text);
  } catch (error) {
    throw new ModelError(
      'network',
      `${new URL(base).host} sent an index page that is not JSON. Check pip's index settings.`,
      error,
    );
  }
  return (page.files ?? []).flatMap((file) =>
    wheelOf(file.filename, new URL(file.url, base).href, {
      sha256: file.hashes?.sha256,
      yanked: Boolean(file.yanked),
    }),
  );
}

/** PEP 503, and any page with links to wheels. */
export function fromHtml(text: string, base: string): WheelFile[] {
  const wheels: WheelFile[] = [];
  for (const [, attributes] of text.matchAll(/<a\s([^>]*)>/gi)) {
    const href = /href\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attributes!);
    if (!href) continue;
    const url = new URL(unescapeHtml(href[1] ?? href[2] ?? ''), base);
    const sha256 = /(?:^#|&)sha256=([0-9a-f]{64})/i.exec(url.hash)?.[1];
    url.hash = '';
    const filename = decodeURIComponent(url.pathname.split('/').at(-1) ?? '');
    wheels.push(...wheelOf(filename, url.href, { sha256, yanked: /data-yanked/i.test(attributes!) }));
  }
  return wheels;
}

function unescapeHtml(text: string): string {
  const names: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#43': '+' };
  return text.replace(/&(amp|lt|gt|quot|#39|#43);/g, (_whole, name: string) => names[name]!);
}

/** One of pip's find-links: a folder, a wheel, or a page. */
async function wheelsAt(place: string, name: string, client: HttpClient): Promise<WheelFile[]> {
  if (/^https?:/.test(place)) {
    const page = await client.text(place).catch(() => undefined); // As pip does: a dead link is passed over.
    return page ? fromHtml(page.text, page.url).filter(named(name)) : [];
  }
  const path = place.startsWith('file:') ? fileURLToPath(place) : place.replace(/^~(?=\/|$)/, homedir());
  const kind = await stat(path).catch(() => undefined);
  if (!kind) return [];
  const files = kind.isDirectory() ? (await readdir(path)).map((file) => join(path, file)) : [path];
  return files
    .flatMap((file) => wheelOf(file.split('/').at(-1)!, pathToFileURL(file).href))
    .filter(named(name));
}
