import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { Client, serverUrl } from '../client.ts';
import { CliError, exitCodes } from '../failure.ts';
import { type Output, table } from '../output.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';
import { recipeOf } from '../train_flags.ts';
import { type TrainEvent, trainView } from '../train_view.ts';

export interface TrainFlags extends ServeFlags {
  url?: string;
  base?: string;
  validation?: string;
  suffix?: string;
  priority?: number;
  detach?: boolean;
  follow?: string;
  list?: boolean;
  pause?: string;
  resume?: string;
  cancel?: string;
  [recipe: string]: unknown;
}

/** What is used of OpenAI's job. */
interface Job {
  id: string;
  model: string;
  status: string;
  fine_tuned_model: string | null;
  estimated_finish: number | null;
  trained_tokens: number | null;
  tokens_per_second: number | null;
  priority: number;
  error: { message: string } | null;
}

const jobsPath = '/v1/fine_tuning/jobs';
const pathOf = (id: string) => `${jobsPath}/${encodeURIComponent(id)}`;
const over = ['succeeded', 'failed', 'cancelled'];

/** Begins a job and follows it; or lists, follows, pauses, resumes or cancels one. The job is the server's: it goes on alone. */
export async function train(data: string | undefined, flags: TrainFlags, output: Output): Promise<number> {
  const config = configOf(flags);
  const client = new Client(
    flags.url ?? serverUrl(config),
    config.access.api_key ?? process.env.OPENAI_API_KEY,
  );
  const asked = ['follow', 'list', 'pause', 'resume', 'cancel'].filter((name) => flags[name] !== undefined);
  if (asked.length + (data === undefined ? 0 : 1) !== 1)
    throw new CliError(
      'Say what to train on (a file, or datanet:NAME@SNAPSHOT), or one of --follow JOB, --list, --pause JOB, --resume JOB, --cancel JOB.',
      exitCodes.usage,
    );
  if (flags.list) return list(client, output);
  for (const verb of ['pause', 'resume', 'cancel'] as const) {
    const id = flags[verb];
    if (id === undefined) continue;
    const job = await client.answer<Job>(`${pathOf(id)}/${verb}`, { method: 'POST' });
    output.result(job, `${job.id} is ${job.status}.`);
    if (verb !== 'cancel')
      output.next(`colophon train --${verb === 'pause' ? 'resume' : 'follow'} ${job.id}`);
    return exitCodes.ok;
  }
  const job = flags.follow === undefined ? await begin(client, data!, flags, output) : { id: flags.follow };
  if (!flags.detach) return follow(client, job.id, output);
  output.result(job, job.id);
  output.next(`colophon train --follow ${job.id}`);
  return exitCodes.ok;
}

async function begin(client: Client, data: string, flags: TrainFlags, output: Output): Promise<Job> {
  const model = flags.base ?? (await client.models()).find(({ parent }) => !parent)?.id;
  if (model === undefined) throw new CliError(`The server at ${client.url} serves no base model.`);
  const training_file = await fileOf(client, data, output);
  const validation = flags.validation && (await fileOf(client, flags.validation, output));
  const { method, ...recipe } = recipeOf(flags);
  const job = await client.answer<Job>(jobsPath, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      training_file,
      recipe,
      ...(method === undefined ? {} : { method: { type: method } }),
      ...(validation ? { validation_file: validation } : {}),
      ...(flags.suffix === undefined ? {} : { suffix: flags.suffix }),
      ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    }),
  });
  output.say(`The job ${job.id} trains an adapter on ${model}. Ctrl-C leaves it running.`);
  return job;
}

/** The id of what is named: a snapshot, a file that was uploaded, or one of this machine, which is. */
async function fileOf(client: Client, named: string, output: Output): Promise<string> {
  if (/^(datanet:|file-[A-Za-z0-9_-]+$)/.test(named)) return named;
  let content: Blob;
  try {
    content = await openAsBlob(named);
  } catch (error) {
    throw new CliError(
      `The file ${named} cannot be read: ${(error as Error).message}.`,
      exitCodes.usage,
      error,
    );
  }
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', content, basename(named));
  output.say(`Uploading ${named}.`);
  return (await client.answer<{ id: string }>('/v1/files', { method: 'POST', body: form })).id;
}

async function list(client: Client, output: Output): Promise<number> {
  const jobs: Job[] = [];
  for (let after = ''; ; ) {
    const page = await client.answer<{ data: Job[]; has_more: boolean; last_id: string }>(
      `${jobsPath}?limit=100${after && `&after=${after}`}`,
    );
    jobs.push(...page.data);
    if (!page.has_more) break;
    after = page.last_id;
  }
  const rows = jobs.map(({ id, status, priority, model, fine_tuned_model: adapter }) => [
    id,
    status,
    String(priority),
    adapter ?? model,
  ]);
  output.result(jobs, table(['JOB', 'STATUS', 'PRIORITY', 'MODEL'], rows));
  return exitCodes.ok;
}

async function follow(client: Client, id: string, output: Output): Promise<number> {
  const view = trainView(output);
  const left = new AbortController();
  const onInterrupt = () => left.abort();
  process.once('SIGINT', onInterrupt);
  const retrieve = () => client.answer<Job>(pathOf(id), { signal: left.signal });
  try {
    let job = await retrieve();
    let asked = 0;
    for await (const data of client.events(`${pathOf(id)}/events?stream=true`, left.signal)) {
      if (data === '[DONE]') break;
      const event = JSON.parse(data) as TrainEvent;
      view.event(event);
      // The end of what was before, or once a second: how long it still takes.
      if (event.data && Date.now() - asked < 1000) continue;
      asked = Date.now();
      job = await retrieve();
      view.finish(job.estimated_finish);
      if (job.status === 'paused') break;
    }
    job = await retrieve();
    view.end();
    return said(job, client, output);
  } catch (error) {
    view.end();
    if (!left.signal.aborted) throw error;
    output.say(
      `The job goes on. Follow it: colophon train --follow ${id}; end it: colophon train --cancel ${id}`,
    );
    return exitCodes.interrupted;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}

function said(job: Job, client: Client, output: Output): number {
  if (job.status === 'succeeded') {
    output.result(job, job.fine_tuned_model!);
    output.next(`colophon run ${job.fine_tuned_model}`);
    return exitCodes.ok;
  }
  if (output.json) output.result(job, '');
  if (!over.includes(job.status) && job.status !== 'paused')
    throw new CliError(
      `The server at ${client.url} told no more; the job is ${job.status}. Follow it again: colophon train --follow ${job.id}`,
      exitCodes.network,
    );
  const how = job.status === 'paused' ? ` Go on with: colophon train --resume ${job.id}` : '';
  output.say(`The job ${job.id} is ${job.status}.${job.error ? ` ${job.error.message}` : ''}${how}`);
  return exitCodes.failure;
}
