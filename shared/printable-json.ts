/** JSON that shows hostile texts safely: on a terminal, and in one line of a file that people read. */

// What JSON.stringify leaves as it is: 8-bit controls (U+009B begins an escape sequence as ESC does), line separators, bidi.
const unsafe = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** `JSON.stringify` with what drives a terminal escaped, as `printable` does for plain text. It parses to the same value. */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(unsafe, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
