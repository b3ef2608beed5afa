/** A histogram in plain numbers: an observation is an addition; text is made when somebody scrapes. */
import type { Metric, MetricObjectWithValues, MetricValue, Registry } from 'prom-client';

/** The observations that have one label's value. */
export class Distribution {
  readonly #bounds: readonly number[];
  /** Of each bucket alone; the last is what is above every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number, times = 1): void {
    let at = 0;
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++;
    this.counts[at]! += times;
    this.sum += value * times;
  }
}

/** A histogram of Prometheus with at most one label, whose buckets are `bounds` in rising order. */
export class Distributions {
  readonly #bounds: readonly number[];
  readonly #label: string | undefined;
  readonly #byValue = new Map<string, Distribution>();

  constructor(
    registry: Registry,
    { name, help, bounds, label }: { name: string; help: string; bounds: readonly number[]; label?: string },
  ) {
    this.#bounds = bounds;
    this.#label = label;
    const metric = {
      name,
      get: async (): Promise<MetricObjectWithValues<MetricValue<string>>> =>
        // The registry's own histograms give "histogram", which its types call by a number.
        ({ name, help, type: 'histogram' as never, aggregator: 'sum', values: this.#values(name) }) as never,
      reset: () => this.#byValue.clear(),
    };
    registry.registerMetric(metric as unknown as Metric);
    if (label === undefined) this.of('');
  }

  of(value: string): Distribution {
    let found = this.#byValue.get(value);
    if (!found) {
      found = new Distribution(this.#bounds);
      this.#byValue.set(value, found);
    }
    return found;
  }

  /** As the text format has them: buckets hold what is in those before them too. */
  #values(name: string) {
    return [...this.#byValue].flatMap(([value, { counts, sum }]) => {
      const labels = this.#label === undefined ? {} : { [this.#label]: value };
      let total = 0;
      const buckets = [...counts].map((count, at) => {
        total += count;
        return {
          metricName: `${name}_bucket`,
          labels: { le: this.#bounds[at] ?? '+Inf', ...labels },
          value: total,
        };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: total },
      ];
    });
  }
}
