import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';

/** The machine that a result was measured on. */
export interface Machine {
  cpu: string;
  cores: number;
  /** Instruction sets that matter to the kernels here, as the system names them. */
  isa: string[];
  memory_bytes: number;
  platform: string;
}

const telling = /^(avx|avx2|fma|f16c|avx512\w*|avx_vnni\w*|amx_\w+|asimd|asimddp|i8mm|bf16|sve\w*)$/;

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    isa: cpuFlags().filter((flag) => telling.test(flag)),
    memory_bytes: totalmem(),
    platform: `${platform()} ${arch()}`,
  };
}

/** Flags of the first core; none where the system does not tell. */
export function cpuFlags(): string[] {
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
    return line ? line[1]!.trim().split(/\s+/) : [];
  } catch {
    return [];
  }
}

/** The commit that is checked out, with "-dirty" where files differ from it. */
export function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: 'pipe' }).trim();
  try {
    const clean = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/results') === '';
    return git('rev-parse', '--short=12', 'HEAD') + (clean ? '' : '-dirty');
  } catch {
    return 'unknown';
  }
}
