/** How a download tells how far it is. The command line draws a bar; a test counts. */
export interface Progress {
  /** `total` is unknown where the server does not say; `start` bytes are there already. */
  begin(
    label: string,
    total: number | undefined,
    start: number,
  ): { advance(bytes: number): void; end(): void };
  /** A sentence in between. */
  note(sentence: string): void;
}

export const silent: Progress = {
  begin: () => ({ advance() {}, end() {} }),
  note() {},
};
