/** How many bytes at the end begin a character that more bytes could complete. */
export function unfinishedBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const lead = bytes[bytes.length - back]!;
    if (lead < 0x80) return 0;
    if (lead < 0xc0) continue; // a continuation: its lead is further back
    const needed =
      lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (back >= needed) return 0;
    return back === 1 || canFollow(lead, bytes[bytes.length - back + 1]!) ? back : 0;
  }
  return 0;
}

/** Whether a second byte keeps a character possible: neither overlong, nor a surrogate, nor past U+10FFFF. */
function canFollow(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second < 0x90;
  return true;
}
