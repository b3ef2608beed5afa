/** What a process keeps in memory, as Linux tells. */
import { readFileSync, writeFileSync } from 'node:fs';

/** By how many bytes `use` made the memory of a process grow at most, between any two looks at it; 0 where the system does not tell. */
export async function memoryGrowth(pid: number, use: () => Promise<void>): Promise<number> {
  if (process.platform !== 'linux') return use().then(() => 0);
  const kibibytes = (field: string) =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  // The mark of the most that it had begins anew (proc(5)).
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const before = kibibytes('VmRSS');
  await use();
  return (kibibytes('VmHWM') - before) * 1024;
}
