/** Reads a form with one file: the file goes to where it is kept as it comes, the fields are few and short. */
import type { FastifyRequest } from 'fastify';
import { ColophonError } from './errors.ts';

/** What a form may have; openai's clients send a handful. */
const limits = { parts: 32, fields: 31, files: 1, fieldNameSize: 128, fieldSize: 4096, headerPairs: 32 };

/** What is read and thrown away of a refused form, so that the answer is not lost with the connection. */
const discardedAtMost = 64 * 2 ** 20;

export interface Form<Content> {
  fields: Map<string, string>;
  file: { filename: string; content: Content } | undefined;
}

/**
 * Reads the whole form; `take` is given the content of the field `name`. Throws a 400 or 413 that says what is wrong with the
 * form, or what `take` throws; what it had taken by then is for `undo`.
 */
export async function readForm<Content>(
  request: FastifyRequest,
  name: string,
  options: {
    /** Of the file. */
    bytes: number;
    /** Of the longest field. */
    fieldBytes?: number;
    tooLarge: () => ColophonError;
    take: (source: AsyncIterable<Uint8Array>) => Promise<Content>;
    undo: (content: Content) => Promise<void>;
  },
): Promise<Form<Content>> {
  const { fieldBytes: fieldSize = limits.fieldSize } = options;
  const fields = new Map<string, string>();
  let file: Form<Content>['file'];
  try {
    if (!request.isMultipart()) {
      throw wrong(
        'The request must be a form with a file, sent as "Content-Type: multipart/form-data".',
        null,
        415,
      );
    }
    if (Number(request.headers['content-length'] ?? 0) > options.bytes + 2 ** 20) throw options.tooLarge();
    // One byte more than is allowed: the taker refuses it, with a sentence of its own.
    const parts = request.parts({ limits: { ...limits, fieldSize, fileSize: options.bytes + 1 } });
    for await (const part of parts) {
      const shown = part.fieldname?.slice(0, 100) ?? '';
      if (part.fieldname === undefined || part.fieldname === '') {
        throw wrong('A part of the form has no name.');
      }
      if (part.type === 'field') {
        // A name is cut without a word.
        const longName = Buffer.byteLength(part.fieldname) >= limits.fieldNameSize;
        if (longName || part.valueTruncated) {
          const which = longName ? 'name' : 'value';
          throw wrong(
            `The ${which} of the form's field '${shown}' is too long: ${which === 'name' ? limits.fieldNameSize : fieldSize} bytes are the most.`,
            null,
            413,
          );
        }
        if (fields.has(part.fieldname)) throw wrong(`The form has the field '${shown}' more than once.`);
        fields.set(part.fieldname, String(part.value));
        continue;
      }
      if (part.fieldname !== name) {
        throw wrong(`The form has a file under '${shown}'; send it as '${name}'.`);
      }
      const filename = part.filename || 'file';
      file = { filename, content: await options.take(part.file) };
    }
    return { fields, file };
  } catch (error) {
    if (file) await options.undo(file.content);
    discardRest(request);
    throw formError(error);
  }
}

/** What is still on its way is read, up to a limit, and then the connection is no longer listened to. */
function discardRest({ raw }: FastifyRequest): void {
  if (raw.readableEnded || raw.destroyed) return;
  raw.unpipe();
  let left = discardedAtMost;
  raw.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) raw.socket.destroy();
  });
  raw.resume();
}

const sentences: Record<string, string> = {
  FST_PARTS_LIMIT: `The form has too many parts; ${limits.parts} are the most.`,
  FST_FIELDS_LIMIT: `The form has too many fields; ${limits.fields} are the most.`,
  FST_FILES_LIMIT: 'The form has more than one file; send each in a request of its own.',
};

function formError(error: unknown): unknown {
  if (error instanceof ColophonError) return error;
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  if (code && sentences[code]) return wrong(sentences[code], null, 413);
  // A failure of this machine is not the client's.
  if (syscall !== undefined || !(error instanceof Error)) return error;
  return wrong(
    `The form could not be read: ${message.slice(0, 200)}. Check that its boundary is that of the Content-Type header and that it is whole.`,
  );
}

function wrong(sentence: string, param: string | null = null, status = 400): ColophonError {
  return new ColophonError(sentence, { param, status, code: 'invalid_form' });
}
