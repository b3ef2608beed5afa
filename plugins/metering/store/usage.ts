/** What was used, by whom, of what and when. */
import type { Database } from 'better-sqlite3';

export const usageKeys = ['tenant', 'key', 'model', 'adapter', 'day'] as const;
export type UsageKey = (typeof usageKeys)[number];

export interface UsageQuery {
  /** Unix seconds; answers that ended from `start` on and before `end`. */
  start: number;
  end: number;
  by: UsageKey[];
  /** Only those of it. */
  tenant?: string;
  key?: string;
  model?: string;
  adapter?: string;
  /** Rows, and how many are left out before them. */
  limit: number;
  offset: number;
}

export interface UsageRow extends Partial<Record<UsageKey, string | null>> {
  responses: number;
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  /** More than was handed over where answers were cut. */
  generated_tokens: number;
}

const columns: Record<UsageKey, string> = {
  tenant: 'tenant',
  key: 'key',
  model: 'model',
  adapter: 'adapter',
  day: `strftime('%Y-%m-%d', ended / 1000, 'unixepoch')`,
};

export function usageOf(db: Database, query: UsageQuery): UsageRow[] {
  const { by, start, end, limit, offset } = query;
  const groups = by.map((key) => `${columns[key]} AS "${key}"`);
  const wanted = (['tenant', 'key', 'model', 'adapter'] as const).filter((name) => query[name] !== undefined);
  const order =
    by.length > 0
      ? `GROUP BY ${by.map((_, at) => at + 1).join(', ')} ORDER BY ${by.map((_, at) => at + 1).join(', ')}`
      : '';
  return db
    .prepare(
      `SELECT ${[
        ...groups,
        'count(*) AS responses',
        ...['prompt', 'cached', 'completion', 'generated'].map(
          (what) => `coalesce(sum(${what}_tokens), 0) AS ${what}_tokens`,
        ),
      ].join(', ')}
       FROM answers WHERE ended >= ? AND ended < ?${wanted.map((name) => ` AND ${name} = ?`).join('')} ${order} LIMIT ? OFFSET ?`,
    )
    .all(start * 1000, end * 1000, ...wanted.map((name) => query[name]!), limit, offset) as UsageRow[];
}
