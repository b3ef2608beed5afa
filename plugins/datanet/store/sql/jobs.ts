/** Jobs. */
import { codec } from '../codec.ts';
import type { DatanetStore, Job } from '../datanet_store.ts';
import { pageOf, type Sql } from './common.ts';

export const jobs = codec<Job>({
  id: 'plain',
  datanet: 'plain',
  kind: 'plain',
  params: 'json',
  state: 'plain',
  done: 'plain',
  total: 'plain',
  stage: 'plain',
  checkpoint: 'json',
  report: 'json',
  error: 'text',
  createdAt: 'plain',
  finishedAt: 'plain',
});

export function jobQueries({ db }: Sql): Pick<DatanetStore, 'createJob' | 'job' | 'jobs' | 'updateJob'> {
  return {
    async createJob(job) {
      await db
        .insertInto('jobs')
        .values(jobs.encode(job) as never)
        .execute();
    },

    async job(id) {
      const row = await db.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
      return row && jobs.decode(row);
    },

    jobs: ({ datanet, state }, page) => pageOf(db, 'jobs', { datanet, state }, page, jobs.decode),

    async updateJob(id, change, onlyIn) {
      let query = db
        .updateTable('jobs')
        .set(jobs.encode(change) as never)
        .where('id', '=', id);
      if (onlyIn) query = query.where('state', 'in', onlyIn);
      return (await query.returning('ord').executeTakeFirst()) !== undefined;
    },
  };
}
