/** Strings of RFC 4251 §5: four bytes that say how many follow. */

export function sshString(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text as string);
  const framed = Buffer.alloc(4 + bytes.length);
  framed.writeUInt32BE(bytes.length);
  bytes.copy(framed, 4);
  return framed;
}

/** Strings up to the very end of `data`; undefined when they do not fill it. */
export function readSshStrings(data: Buffer): readonly Buffer[] | undefined {
  const strings: Buffer[] = [];
  let at = 0;
  while (at < data.length) {
    if (data.length - at < 4) return undefined;
    const end = at + 4 + data.readUInt32BE(at);
    if (end > data.length) return undefined;
    strings.push(data.subarray(at + 4, end));
    at = end;
  }
  return strings;
}
