import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Child } from './child.ts';

const node = (code: string) => new Child(process.execPath, ['-e', code]);
const stateOf = (pid: number) => /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
};

it('keeps every line, also those that come together', async () => {
  const child = node('process.stdout.write("one\\ntwo\\nthree\\n"); process.stdin.resume()');
  expect([await child.line(30), await child.line(30), await child.line(30)]).toEqual(['one', 'two', 'three']);
  child.end();
  await child.exited;
});

it('tells how a child ended and what it said last', async () => {
  const child = node('console.error("the reason"); process.exit(3)');
  await expect(child.line(30)).rejects.toThrow(/ended with status 3\. the reason/);
  expect(() => child.send('more')).toThrow('ended with status 3');
  await expect(new Child('/no/such/program', []).line(30)).rejects.toThrow('ENOENT');
});

it('gives up on a child that is silent for too long', async () => {
  const child = node('process.stdin.resume()');
  await expect(child.line(0.05)).rejects.toThrow('took longer than 0.05 s');
  child.end();
  await child.exited;
});

it.runIf(process.platform === 'linux')('freezes, thaws, weighs and ends a whole group', async () => {
  const child = node(
    `const { pid } = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
     console.log(pid); process.stdin.resume()`,
  );
  const grandchild = Number(await child.line(30));
  child.freeze();
  await until(() => stateOf(child.pid) === 'T' && stateOf(grandchild) === 'T');
  child.thaw();
  await until(() => stateOf(child.pid) !== 'T' && stateOf(grandchild) !== 'T');
  const alone =
    Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8'))![1]) / 1000;
  expect(child.memory()).toBeGreaterThan(alone);
  child.end();
  await child.exited;
  await until(() => {
    try {
      return stateOf(grandchild) === 'Z';
    } catch {
      return true;
    }
  });
});
