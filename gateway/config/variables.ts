/** Environment variables that were probably meant for us. */
import { suggest } from '../schema/suggest.ts';
import type { Environment } from './paths.ts';
import { settings } from './settings.ts';

const prefix = 'COLOPHON_';

/** Those that stand for no single setting. */
const others = ['COLOPHON_CONFIG', 'COLOPHON_API_KEY_FILE', 'COLOPHON_DEBUG'];

/** A sentence for each variable that is nearly, but not quite, one of ours: it would be ignored without a word. */
export function misspeltVariables(env: Environment): string[] {
  const known = [...settings.map((setting) => setting.environment as string), ...others];
  const endings = known.map((name) => name.slice(prefix.length));
  return Object.keys(env)
    .filter((name) => name.startsWith(prefix) && !known.includes(name))
    .flatMap((name) => {
      const near = suggest(name.slice(prefix.length), endings);
      return near ? [`${name} is not a setting. Did you mean ${prefix}${near}?`] : [];
    });
}
