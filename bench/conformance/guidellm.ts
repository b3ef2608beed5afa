/** GuideLLM of the vLLM project as a load from outside: every request of it has to be answered whole. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../lib/child.ts';
import { PythonEnvironment } from '../lib/python_environment.ts';
import type { ServedModel } from './ai_sdk.ts';
import { type CaseOutcome, runCases } from './suite.ts';

export const guidellmPackages = ['guidellm==0.8.1'];

/** Of its own: it takes 6 GB. */
const environment = new PythonEnvironment('guidellm-env', guidellmPackages);

/** Seconds that one load may take. */
const limit = 1800;

const loads = [
  { name: 'eight clients at once', profile: 'kind=concurrent,streams=8', requests: 64 },
  { name: 'all that the server takes', profile: 'kind=throughput,max_concurrency=32', requests: 64 },
  { name: 'requests at random moments', profile: 'kind=poisson,rate=2', requests: 32 },
];

interface Report {
  benchmarks: Array<{
    metrics: { request_totals: Record<'successful' | 'errored' | 'incomplete' | 'total', number> };
  }>;
}

export async function guidellm(
  { url, model }: ServedModel,
  folder: string,
  quick: boolean,
): Promise<CaseOutcome[]> {
  await environment.setUp();
  const place = join(folder, 'guidellm');
  mkdirSync(place);
  const prompts = join(place, 'prompts.jsonl');
  const lines = Array.from({ length: 64 }, (_, i) => ({ prompt: `Write a sentence about the number ${i}.` }));
  writeFileSync(prompts, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return runCases(
    loads.map(({ name, profile, requests }, at) => ({
      name: `${name} (${guidellmPackages[0]})`,
      async run() {
        const count = quick ? requests / 8 : requests;
        const output = join(place, `${at}.json`);
        const child = new Child(
          environment.tool('guidellm'),
          [
            ...['run', '--backend', `kind=openai_http,target=${url},model=${model},max_tokens=16`],
            ...['--profile', profile, '--constraint', `kind=max_requests,count=${count}`],
            ...['--data', `kind=json_file,path=${prompts}`, '--output', `kind=json,path=${output}`],
            '--disable-console-interactive',
          ],
          { env: { HF_HUB_OFFLINE: '1' } },
        );
        await child.output(limit);
        const [benchmark] = (JSON.parse(readFileSync(output, 'utf8')) as Report).benchmarks;
        const { successful, errored, incomplete, total } = benchmark!.metrics.request_totals;
        if (errored > 0 || successful < count)
          throw new Error(
            `Of ${total} requests ${successful} succeeded, ${errored} failed, ${incomplete} were cut off.`,
          );
      },
    })),
  );
}
