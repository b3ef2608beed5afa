/** What held-out files ask for: the texts that no row that is trained on may have. */
import { ColophonError, type RequestCaller, type TenantFiles } from '../../../gateway/contract/index.ts';
import type { ReadLimits } from '../formats/format.ts';
import { readRows } from '../formats/read_rows.ts';
import type { Content, Message } from '../model.ts';

export interface HeldOutTexts {
  texts: string[];
  /** Rows of the files that are no examples. */
  refused: number;
}

/** Throws `file_not_found`, and what reading a file throws. */
export async function heldOutTexts(
  ids: string[],
  { files, caller, limits }: { files: Pick<TenantFiles, 'find'>; caller: RequestCaller; limits: ReadLimits },
): Promise<HeldOutTexts> {
  const held: HeldOutTexts = { texts: [], refused: 0 };
  for (const id of ids) {
    const file = await heldOutFile(id, files, caller);
    const source = {
      size: file.bytes,
      stream: async function* () {
        yield* await file.content();
      },
      slice: async () => {
        throw new ColophonError(`The held-out file '${file.filename}' is Parquet; give it as JSON lines.`, {
          param: 'settings.contamination.heldOut',
          code: 'unknown_format',
        });
      },
    };
    for await (const rows of readRows(source, file.filename, {}, limits)) {
      for (const row of rows) {
        if ('example' in row) held.texts.push(...askedIn(row.example.content));
        else held.refused++;
      }
    }
  }
  return held;
}

export async function heldOutFile(id: string, files: Pick<TenantFiles, 'find'>, caller: RequestCaller) {
  const file = await files.find(caller, id);
  if (file) return file;
  throw new ColophonError(`There is no file '${id}' to hold out.`, {
    type: 'not_found_error',
    param: 'settings.contamination.heldOut',
    code: 'file_not_found',
  });
}

/** What a row asks. Not its answer: rows of many questions have the same ones. */
function askedIn(content: Content): string[] {
  if ('text' in content) return [content.text];
  if ('prompt' in content) return [content.prompt];
  const { messages } = 'messages' in content ? content : content.input;
  return messages.flatMap(({ role, content: text }: Message) => (role === 'user' && text ? [text] : []));
}
