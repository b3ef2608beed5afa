import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** This user's cache: COLOPHON_HOME/cache, or by the XDG rules (a relative XDG path is ignored, as they ask). */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.COLOPHON_HOME) return join(env.COLOPHON_HOME, 'cache');
  const xdg = env.XDG_CACHE_HOME;
  return join(xdg && isAbsolute(xdg) ? xdg : join(homedir(), '.cache'), 'colophon');
}
