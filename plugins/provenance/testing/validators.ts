/** The formats' own tools, from PyPI: each checks a document as anyone else would. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PythonEnvironment } from '../../../bench/lib/python_environment.ts';

const environment = new PythonEnvironment('provenance-env', [
  'cyclonedx-python-lib[json-validation]==11.12.0',
  'in-toto-attestation==0.9.3',
  'mlcroissant==1.1.1',
  'model-signing==1.1.1',
  // Which model-signing imports and does not ask for.
  'pyOpenSSL==26.4.0',
]);
const script = join(import.meta.dirname, 'validate.py');
const run = promisify(execFile);

const unreachable =
  /Name or service not known|name resolution|NewConnectionError|Network is unreachable|ConnectTimeout|Read timed out|Connection aborted|ProxyError|No route to host/i;

/** Undefined once the tools are installed; a sentence where the package index cannot be reached. Rejects for any other reason. */
export async function installValidators(): Promise<string | undefined> {
  try {
    await environment.setUp();
    return undefined;
  } catch (error) {
    if (unreachable.test(String(error))) return `PyPI cannot be reached: ${(error as Error).message}`;
    throw error;
  }
}

export interface Validated {
  faults: string[];
  /** Of Croissant. */
  version?: string;
  records?: Record<string, Array<Record<string, unknown>>>;
  /** Of in-toto. */
  type?: string;
  build?: string;
}

export async function validate(
  format: 'cyclonedx' | 'croissant' | 'in-toto',
  file: string,
): Promise<Validated> {
  const { stdout } = await run(environment.tool('python'), [script, format, file], { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout) as Validated;
}

/** What `model_signing verify key` says: undefined where it is content. */
export async function modelSigningFault(
  model: string,
  signature: string,
  key: string,
): Promise<string | undefined> {
  try {
    await run(environment.tool('python'), [
      ...['-m', 'model_signing', 'verify', 'key', model],
      ...['--signature', signature, '--public_key', key],
    ]);
    return undefined;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`;
  }
}
