/** Bytes of a base64 text (RFC 4648, section 4) that is the one way to write them; undefined of any other text. */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
