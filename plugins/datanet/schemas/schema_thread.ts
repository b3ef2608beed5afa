/** What a thread of a check runs: a Datanet's schema over examples. */
import { workerData } from 'piscina';
import type { Content } from '../model.ts';
import { compileSchema, type DatanetSchema, type Fault } from './json_schema.ts';

const check = compileSchema(workerData as DatanetSchema);

export default function run(contents: Content[]): Array<Fault | null> {
  return contents.map(check);
}
