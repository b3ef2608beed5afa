/**
 * A file of JSON lines that grows while a batch runs. It is its own record of progress: a line is whole and durable, or it
 * is cut off by the next start and runs again. What comes together is made durable together.
 */
import { type FileHandle, open } from 'node:fs/promises';

interface Waiting {
  line: string;
  resolve(): void;
  reject(error: unknown): void;
}

export class LineLog {
  readonly #file: FileHandle;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  /** Bytes that are durable. */
  size: number;

  private constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** Opens or makes it, cuts a broken last line off, and gives each whole line to `onLine`. */
  static async open(path: string, onLine: (line: string) => void): Promise<LineLog> {
    const file = await open(path, 'a+', 0o600);
    let whole = 0;
    let parts: Buffer[] = [];
    const stream = file.createReadStream({ start: 0, autoClose: false });
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let from = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        const line = Buffer.concat([...parts, chunk.subarray(from, end)]);
        parts = [];
        from = end + 1;
        whole += line.length + 1;
        onLine(line.toString());
      }
      if (from < chunk.length) parts.push(chunk.subarray(from));
    }
    await file.truncate(whole);
    return new LineLog(file, whole);
  }

  /** Settles once the line is on disk. */
  append(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        const bytes = Buffer.from(group.map(({ line }) => `${line}\n`).join(''));
        await this.#file.appendFile(bytes);
        await this.#file.datasync();
        this.size += bytes.length;
        for (const { resolve } of group) resolve();
      } catch (error) {
        // Part of it may be there: without this, what comes next would be glued to it.
        await this.#file.truncate(this.size).catch(() => {});
        for (const { reject } of group) reject(error);
      }
    }
    this.#writing = undefined;
  }
}
