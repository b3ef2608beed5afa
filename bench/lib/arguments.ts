/** A mistake of whoever runs the bench: told in its sentence alone. */
export class UsageError extends Error {}

/** What every bench takes. */
export interface BenchArguments {
  repeats: number;
  cases: string[];
  peers: string[];
  quick: boolean;
  flags: Map<string, string | true>;
}

/**
 * Reads `--name value`, `--name=value` and `--name`. `values` and `switches` are what a bench takes besides --repeats,
 * --cases, --peers and --quick; any other flag is refused.
 */
export function readArguments(
  argv: string[],
  known: { cases: readonly string[]; peers: readonly string[]; values: string[]; switches: string[] },
): BenchArguments {
  const values = new Set(['repeats', 'cases', 'peers', ...known.values]);
  const switches = new Set(['quick', ...known.switches]);
  const flags = new Map<string, string | true>();
  for (let i = 0; i < argv.length; i++) {
    const match = /^--([a-z0-9-]+)(?:=(.*))?$/.exec(argv[i]!);
    const name = match?.[1];
    if (name !== undefined && switches.has(name) && match![2] === undefined) flags.set(name, true);
    else if (name !== undefined && values.has(name)) {
      const value = match![2] ?? argv[++i];
      if (value === undefined) throw new UsageError(`--${name} needs a value.`);
      flags.set(name, value);
    } else {
      const all = [...values]
        .map((each) => `--${each} VALUE`)
        .concat([...switches].map((each) => `--${each}`));
      throw new UsageError(`"${argv[i]}" is not an argument of this bench. It takes ${all.join(', ')}.`);
    }
  }
  const quick = flags.has('quick');
  const repeats = Number(flags.get('repeats') ?? (quick ? 1 : 3));
  if (!Number.isInteger(repeats) || repeats < 1)
    throw new UsageError(`--repeats is "${flags.get('repeats')}"; it must be a whole number from 1.`);
  return {
    repeats,
    quick,
    flags,
    cases: chosen('cases', flags.get('cases'), known.cases),
    peers: chosen('peers', flags.get('peers'), known.peers),
  };
}

function chosen(flag: string, text: string | true | undefined, known: readonly string[]): string[] {
  if (typeof text !== 'string') return [...known];
  const names = text.split(',').filter((name) => name !== '');
  for (const name of names) {
    if (!known.includes(name))
      throw new UsageError(`--${flag} has "${name}", which is none of ${known.join(', ')}.`);
  }
  return names;
}

/** A flag's value as a whole number from 1. */
export function wholeNumber(flags: Map<string, string | true>, name: string, fallback: number): number {
  const text = flags.get(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} is "${text}"; it must be a whole number from 1.`);
  return value;
}
