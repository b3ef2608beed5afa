/** What one check of an audit came to. */
export interface Finding {
  /** "signature", "inclusion"... */
  check: string;
  ok: boolean;
  sentence: string;
}

/** Collects findings; a check that throws found what its Error says. */
export class Findings {
  readonly all: Finding[] = [];

  /** Runs a check, which gives the sentence of its success; what it threw is the sentence of its failure. */
  try(check: string, run: () => string): boolean {
    try {
      this.all.push({ check, ok: true, sentence: run() });
      return true;
    } catch (error) {
      this.all.push({ check, ok: false, sentence: (error as Error).message });
      return false;
    }
  }

  fail(check: string, sentence: string): void {
    this.all.push({ check, ok: false, sentence });
  }
}
