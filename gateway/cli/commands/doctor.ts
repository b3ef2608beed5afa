import { access, constants, mkdir, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Config, ConfigError, misspeltVariables } from '../../config/index.ts';
import { configuredBase } from '../../models/configure.ts';
import { findCachedModel } from '../../models/index.ts';
import { Client, serverUrl } from '../client.ts';
import { adapterFolders, nativeSettings, ownAdapterFolder } from '../engine.ts';
import { exitCodes } from '../failure.ts';
import { packageFolder } from '../installation.ts';
import { type Output, size } from '../output.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

interface Finding {
  check: string;
  status: 'ok' | 'warn' | 'fail';
  found: string;
  /** What to do, where there is something to do. */
  remedy?: string;
}

const ok = (check: string, found: string): Finding => ({ check, status: 'ok', found });
const warn = (check: string, found: string, remedy: string): Finding => ({
  check,
  status: 'warn',
  found,
  remedy,
});
const fail = (check: string, found: string, remedy: string): Finding => ({
  check,
  status: 'fail',
  found,
  remedy,
});

const serverAnswers = 'a server answers there';

/** Free memory that weights, pages and adapters of the default model need at least. */
const comfortableBytes = 1.5e9;

/** Checks everything that a server stands on. Exit code 1 where something fails. */
export async function doctor(flags: ServeFlags, output: Output): Promise<number> {
  const findings: Finding[] = [...(await toolchain()), ...(await engine())];
  let config: Config | undefined;
  try {
    config = configOf(flags);
    await nativeSettings(config);
    findings.push(ok('configuration', config.file ?? 'defaults and environment'));
    for (const doubt of misspeltVariables(process.env)) {
      findings.push(warn('configuration', doubt, 'Correct its name, or unset it.'));
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    findings.push(fail('configuration', error.message, 'Correct the value that it names.'));
    config = undefined;
  }
  findings.push(...machine());
  if (config) findings.push(...(await installation(config)));

  const marks = {
    ok: output.paint('green', 'ok  '),
    warn: output.paint('yellow', 'warn'),
    fail: output.paint('red', 'fail'),
  };
  const width = Math.max(...findings.map((finding) => finding.check.length));
  const lines = findings.map(({ check, status, found, remedy }) => {
    const line = `${marks[status]}  ${check.padEnd(width)}  ${found}`;
    return remedy ? `${line}\n${' '.repeat(8 + width)}${output.paint('bold', remedy)}` : line;
  });
  const failed = findings.filter((finding) => finding.status === 'fail').length;
  output.result({ ok: failed === 0, findings }, lines.join('\n'));
  if (failed > 0) output.say(`${failed} ${failed === 1 ? 'thing has' : 'things have'} to be mended.`);
  else
    output.next(
      findings.some(({ check, found }) => check === 'port' && found.endsWith(serverAnswers))
        ? 'colophon run'
        : 'colophon serve',
    );
  return failed > 0 ? exitCodes.failure : exitCodes.ok;
}

interface ToolchainCheck {
  name: string;
  ok: boolean;
  found?: string;
  sentence?: string;
}

/** The same checks as the build makes. */
async function toolchain(): Promise<Finding[]> {
  const url = pathToFileURL(join(packageFolder(), 'scripts', 'toolchain.mjs')).href;
  const checks = (await import(url)) as Record<
    'checkPlatform' | 'checkNode' | 'checkCompiler' | 'checkCmake' | 'checkMake',
    () => ToolchainCheck
  >;
  const results = [
    checks.checkPlatform(),
    checks.checkNode(),
    checks.checkCompiler(),
    checks.checkCmake(),
    checks.checkMake(),
  ];
  return results.map((result) =>
    result.ok
      ? ok(result.name, result.found ?? '')
      : fail(result.name, result.found ?? 'missing', result.sentence ?? ''),
  );
}

async function engine(): Promise<Finding[]> {
  const { native } = await import('../../../native/binding/index.ts');
  try {
    const { bestIsa, supported, cores, version } = native().machine();
    const isa = supported.join(', ');
    return [
      ok('engine', `version ${version}, loads`),
      bestIsa === 'reference'
        ? warn('isa', isa, 'This CPU has neither AVX2 nor AVX-512: generation works, slowly.')
        : ok('isa', `${bestIsa} (of ${isa})`),
      ok('cores', `${cores}`),
    ];
  } catch (error) {
    return [fail('engine', (error as Error).message, 'Build it with: npm run build')];
  }
}

function machine(): Finding[] {
  const free = freemem();
  const memory = `${size(free)} free of ${size(totalmem())}`;
  return [
    ok('cpu', `${cpus()[0]?.model.trim() ?? process.arch}, ${availableParallelism()} usable`),
    free < comfortableBytes
      ? warn(
          'memory',
          memory,
          'Close something, or give the server smaller budgets: --kv-bytes 256MiB --adapter-bytes 256MiB',
        )
      : ok('memory', memory),
  ];
}

async function installation(config: Config): Promise<Finding[]> {
  const settings = await nativeSettings(config);
  const base = configuredBase(settings);
  return [
    await model(base, config),
    await disk(config.paths.cache),
    await writable('adapters folder', ownAdapterFolder(config)),
    await adapters(config),
    await port(config),
  ];
}

async function model(base: { source: string; name: string }, config: Config): Promise<Finding> {
  try {
    const found = await findCachedModel(base.source, { cache: config.paths.cache });
    return found
      ? ok('model', `${base.name}, ${size(found.bytes)}, ${found.path}`)
      : warn(
          'model',
          `${base.name} is not downloaded yet`,
          'Download it with: colophon pull (serve does so too)',
        );
  } catch (error) {
    return fail('model', (error as Error).message, 'Mend COLOPHON_MODEL or plugins.native.model.');
  }
}

async function disk(folder: string): Promise<Finding> {
  let at = folder;
  while (
    dirname(at) !== at &&
    !(await access(at).then(
      () => true,
      () => false,
    ))
  )
    at = dirname(at);
  const { bavail, bsize } = await statfs(at);
  const free = bavail * bsize;
  return free < 1e9
    ? warn(
        'disk',
        `${size(free)} free for ${folder}`,
        'Free some space, or set COLOPHON_HOME to a folder on a larger disk.',
      )
    : ok('disk', `${size(free)} free for ${folder}`);
}

async function writable(check: string, folder: string): Promise<Finding> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.R_OK | constants.W_OK);
    return ok(check, folder);
  } catch (error) {
    return fail(
      check,
      `${folder}: ${(error as Error).message}`,
      'Give yourself write access to it, or set COLOPHON_HOME to a folder of yours.',
    );
  }
}

async function adapters(config: Config): Promise<Finding> {
  const settings = await nativeSettings(config);
  for (const folder of settings.adapter_dirs) {
    const readable = await access(folder, constants.R_OK | constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!readable)
      return warn(
        'adapters',
        `${folder} cannot be read`,
        'Correct COLOPHON_ADAPTER_DIRS, or create the folder.',
      );
  }
  const count = (await (await adapterFolders(config, settings)).list()).size;
  return ok('adapters', `${count} found`);
}

async function port(config: Config): Promise<Finding> {
  const { host, port: wanted } = config.server;
  const where = `${host}:${wanted}`;
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    probe.listen({ host, port: wanted, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
  if (code === undefined) return ok('port', `${where} is free`);
  if (await new Client(serverUrl(config)).answers()) return ok('port', `${where}: ${serverAnswers}`);
  if (code === 'EADDRINUSE')
    return warn(
      'port',
      `${where} is taken by another program`,
      `Choose another: colophon serve --port ${wanted + 1}`,
    );
  return fail('port', `${where} cannot be opened (${code})`, 'Choose another: --host 127.0.0.1 --port 8080');
}
