/** What a series counts: its labels, always given in one order. */
export type Labels = Record<string, string | number>;

/**
 * Counts in plain numbers. prom-client checks and hashes labels at each call, several times a request; from a tally
 * it hears of them when it is scraped.
 */
export class Tally<L extends Labels> {
  readonly #series = new Map<string, { labels: L; value: number }>();

  /** Adds `amount` to the series that has these labels. */
  add(labels: L, amount = 1): void {
    let key = '';
    for (const name in labels) key += `${labels[name]}\n`;
    const series = this.#series.get(key);
    if (series) series.value += amount;
    else this.#series.set(key, { labels, value: amount });
  }

  /** Writes every series into a metric of prom-client in place of what it held. */
  fill(metric: { reset(): void; inc(labels: L, value: number): void }): void {
    metric.reset();
    for (const { labels, value } of this.#series.values()) metric.inc(labels, value);
  }
}
