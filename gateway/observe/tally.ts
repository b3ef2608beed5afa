/** What a series counts: its labels, always given in one order. */
export type Labels = Record<string, string | number>;

/** One number of a metric. */
export interface Series<L extends Labels> {
  readonly labels: L;
  value: number;
}

/**
 * Counts in plain numbers. prom-client checks and hashes labels at each call, several times a request; from a tally
 * it hears of them when it is scraped.
 */
export class Tally<L extends Labels> {
  readonly #series = new Map<string, Series<L>>();

  /** The series that has these labels: whoever adds to it often keeps it. */
  series(labels: L): Series<L> {
    let key = '';
    for (const name in labels) key += `${labels[name]}\n`;
    let series = this.#series.get(key);
    if (!series) {
      series = { labels, value: 0 };
      this.#series.set(key, series);
    }
    return series;
  }

  /** Adds `amount` to the series that has these labels. */
  add(labels: L, amount = 1): void {
    this.series(labels).value += amount;
  }

  /** Writes every series into a metric of prom-client in place of what it held. */
  fill(metric: { reset(): void; inc(labels: L, value: number): void }): void {
    metric.reset();
    for (const { labels, value } of this.#series.values()) metric.inc(labels, value);
  }
}
