import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parsePipConfig, pipSettings } from './pip.ts';
import { compareVersions, fromHtml } from './pypi.ts';

it('reads pip.conf as Python does', () => {
  const sections = parsePipConfig(
    '# c\n[global]\nindex_url = https://a/simple\nextra-index-url =\n    https://b/simple\n    https://c/simple\n; d\n[download]\ncert: /x.pem\n',
  );
  expect(Object.fromEntries(sections.get('global')!)).toEqual({
    'index-url': 'https://a/simple',
    'extra-index-url': 'https://b/simple https://c/simple',
  });
  expect(sections.get('download')!.get('cert')).toBe('/x.pem');
});

it('lets the environment go over the files, and /dev/null switch them off', async () => {
  const home = await mkdtemp(join(tmpdir(), 'colophon-pip-'));
  await mkdir(join(home, '.config/pip'), { recursive: true });
  await writeFile(
    join(home, '.config/pip/pip.conf'),
    '[global]\nindex-url = https://user/simple\ntimeout = 7\n[download]\nproxy = http://proxy:1\n',
  );
  const env = { HOME: home };
  expect(pipSettings(env)).toMatchObject({
    indexes: ['https://user/simple'],
    timeoutSeconds: 7,
    proxy: 'http://proxy:1',
  });
  expect(
    pipSettings({ ...env, PIP_INDEX_URL: 'https://env/simple', PIP_EXTRA_INDEX_URL: 'https://e1 https://e2' })
      .indexes,
  ).toEqual(['https://env/simple', 'https://e1', 'https://e2']);
  expect(pipSettings({ ...env, PIP_CONFIG_FILE: '/dev/null' }).indexes).toEqual(['https://pypi.org/simple']);
  expect(pipSettings({ ...env, PIP_NO_INDEX: '1' }).indexes).toEqual([]);
  await rm(home, { recursive: true });
});

it('reads wheels from HTML and takes no path for a name', () => {
  const page = `<a data-yanked="bad" href="p-1.0-py3-none-any.whl">x</a>
    <a href='https://h/p-1.1-py3-none-any.whl?a=1&amp;b=2#sha256=${'A'.repeat(64)}'>x</a>
    <a href="..%2F..%2Fevil-1.0-py3-none-any.whl">x</a> <a href="p-1.0.tar.gz">x</a>`;
  expect(fromHtml(page, 'https://h/simple/p/')).toEqual([
    {
      filename: 'p-1.0-py3-none-any.whl',
      version: '1.0',
      url: 'https://h/simple/p/p-1.0-py3-none-any.whl',
      yanked: true,
    },
    {
      filename: 'p-1.1-py3-none-any.whl',
      version: '1.1',
      url: 'https://h/p-1.1-py3-none-any.whl?a=1&b=2',
      sha256: 'a'.repeat(64),
      yanked: false,
    },
  ]);
});

it('orders versions by their numbers', () => {
  expect(['0.10', '0.9', '1.0', '0.9.1'].sort(compareVersions)).toEqual(['0.9', '0.9.1', '0.10', '1.0']);
});
