/** What a check found, in a sentence. */
export interface Finding {
  check: string;
  ok: boolean;
  sentence: string;
}
