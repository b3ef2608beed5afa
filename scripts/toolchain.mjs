/**
 * What a build needs from the machine. Each thing that is missing is one sentence with the remedy; `colophon doctor`
 * says the same ones.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const NODE_FLOOR = [20, 18, 1];
const CMAKE_FLOOR = [3, 15, 0];
/** The first versions that compile C++20 as the engine writes it. */
const COMPILER_FLOORS = { gcc: 10, clang: 12 };

/** How this platform installs a package: by the first package manager that is there. */
function remedy(packages) {
  if (process.platform === 'darwin') return `run: ${packages.brew}`;
  const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
  if (onPath('apt-get')) return `run: ${sudo}apt-get install -y ${packages.apt}`;
  if (onPath('dnf')) return `run: ${sudo}dnf install -y ${packages.dnf}`;
  if (onPath('apk')) return `run: ${sudo}apk add ${packages.apk}`;
  if (onPath('pacman')) return `run: ${sudo}pacman -S ${packages.pacman}`;
  return `use your system's package manager`;
}

const packagesOf = {
  cmake: { apt: 'cmake', dnf: 'cmake', apk: 'cmake', pacman: 'cmake', brew: 'brew install cmake' },
  compiler: {
    apt: 'g++ make',
    dnf: 'gcc-c++ make',
    apk: 'g++ make',
    pacman: 'gcc make',
    brew: 'xcode-select --install',
  },
};

/** @returns {string | undefined} the file that a command name stands for */
export function onPath(command) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder && existsSync(join(folder, command))) return join(folder, command);
  }
  return undefined;
}

function atLeast(version, floor) {
  for (let i = 0; i < floor.length; i++) {
    const part = version[i] ?? 0;
    if (part !== floor[i]) return part > floor[i];
  }
  return true;
}

const parse = (text) =>
  (/(\d+)\.(\d+)(?:\.(\d+))?/.exec(text)?.slice(1) ?? []).map((part) => Number(part ?? 0));

function output(command, args) {
  const ran = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  return ran.status === 0 ? ran.stdout : undefined;
}

/**
 * @typedef {{ name: string, ok: boolean, found?: string, sentence?: string }} Check
 * The sentence says what is wrong and what to do.
 */

/** @returns {Check} */
const passed = (name, found) => ({ name, ok: true, found });
/** @returns {Check} */
const failed = (name, sentence, found) => ({ name, ok: false, found, sentence });

export function checkPlatform() {
  if (process.platform === 'linux' || process.platform === 'darwin') {
    return passed('platform', `${process.platform} ${process.arch}`);
  }
  return failed(
    'platform',
    `The engine builds on Linux and macOS, not on ${process.platform}. On Windows use WSL.`,
  );
}

export function checkNode() {
  const found = process.versions.node;
  if (atLeast(parse(found), NODE_FLOOR)) return passed('node', found);
  const floor = NODE_FLOOR.join('.');
  return failed(
    'node',
    `Node ${found} is too old: Colophon needs ${floor} or later. Install the current LTS from https://nodejs.org.`,
    found,
  );
}

export function checkCmake() {
  const text = output('cmake', ['--version']);
  const install = remedy(packagesOf.cmake);
  if (text === undefined) {
    return failed('cmake', `CMake is missing: the engine is built with it. To install it, ${install}`);
  }
  const version = parse(text);
  const found = version.join('.');
  if (atLeast(version, CMAKE_FLOOR)) return passed('cmake', found);
  const floor = CMAKE_FLOOR.join('.');
  return failed(
    'cmake',
    `CMake ${found} is too old: the engine needs ${floor} or later. To update it, ${install}`,
    found,
  );
}

export function checkCompiler() {
  const install = remedy(packagesOf.compiler);
  const named = process.env.CXX;
  for (const compiler of named ? [named] : ['c++', 'g++', 'clang++']) {
    const text = output(compiler, ['--version']);
    if (text === undefined) continue;
    const kind = /clang/i.test(text) ? 'clang' : 'gcc';
    const version = parse(text.split('\n', 1)[0].replace(/\(.*?\)/g, ''));
    const found = `${kind} ${version.join('.')}`;
    const floor = COMPILER_FLOORS[kind];
    if (version[0] >= floor) return passed('compiler', found);
    return failed(
      'compiler',
      `The C++ compiler ${compiler} (${found}) is too old for C++20: ${kind} ${floor} or later is needed. To update it, ${install}`,
      found,
    );
  }
  if (named) {
    return failed(
      'compiler',
      `The C++ compiler named by CXX (${named}) cannot be run. Unset CXX or name one that is installed.`,
    );
  }
  return failed(
    'compiler',
    `A C++ compiler is missing: the engine is written in C++20. To install one, ${install}`,
  );
}

export function checkMake() {
  const found = ['ninja', 'make'].find(onPath);
  if (found) return passed('make', found);
  return failed(
    'make',
    `Neither ninja nor make is installed: CMake needs one of them. To install it, ${remedy(packagesOf.compiler)}`,
  );
}
