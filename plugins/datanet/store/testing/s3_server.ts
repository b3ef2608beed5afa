/** An S3 server of the tests' own: `rclone serve s3` over a temporary folder, on a free loopback port. It checks signatures. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { S3Config } from '../s3_client.ts';

export interface S3Server {
  config: S3Config;
  /** Where its objects lie, as files. */
  folder: string;
  close(): Promise<void>;
}

/** The program's path; undefined: it is not installed. */
export function rcloneProgram(): string | undefined {
  const paths = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'rclone'));
  return [process.env.COLOPHON_TEST_RCLONE, ...paths].find((path) => path && isExecutable(path));
}

export async function startS3(): Promise<S3Server> {
  const program = rcloneProgram();
  if (!program) throw new Error('rclone is not installed.');
  const folder = mkdtempSync(join(tmpdir(), 'colophon-s3-'));
  const bucket = 'datanets';
  const [accessKeyId, secretAccessKey] = ['colophon-test', 'colophon-test-secret'];
  mkdirSync(join(folder, bucket));
  const server = spawn(
    program,
    ['serve', 's3', '--addr', '127.0.0.1:0', '--auth-key', `${accessKeyId},${secretAccessKey}`, folder],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, RCLONE_CONFIG: '/dev/null' } },
  );
  const endpoint = await new Promise<string>((resolve, reject) => {
    let said = '';
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`rclone ended with status ${code}: ${said}`)));
    server.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
      const at = /server on \[(http:\/\/127\.0\.0\.1:[1-9]\d*)\//.exec(said);
      if (at) resolve(at[1]!);
    });
  });
  return {
    config: { endpoint, bucket, region: 'us-east-1', accessKeyId, secretAccessKey },
    folder: join(folder, bucket),
    async close() {
      server.kill('SIGTERM');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
