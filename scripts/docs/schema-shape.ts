/** Zod schemas as shapes that a person can read: scalar types by name, limits beside them, shared records by reference. */
import { z } from 'zod';

/** The part of JSON Schema that our schemas come out as. Anything else is an error: a page must not be silently wrong. */
interface Json {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Json;
  readonly properties?: Readonly<Record<string, Json>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly anyOf?: readonly Json[];
  readonly oneOf?: readonly Json[];
}

const maxLineLength = 84;

/** Names for string patterns and for whole schemas that several messages share. */
export interface Vocabulary {
  readonly patterns: Readonly<Record<string, string>>;
  readonly schemas: readonly (readonly [name: string, schema: z.ZodType])[];
}

/** A schema as indented text. @throws Error for a construct it cannot show. */
export function shapeOf(schema: z.ZodType, vocabulary: Vocabulary): string {
  const names = z.registry<{ id: string }>();
  for (const [id, known] of vocabulary.schemas) if (known !== schema) names.add(known, { id });
  return write(z.toJSONSchema(schema, { metadata: names }) as Json, vocabulary, '');
}

function write(json: Json, vocabulary: Vocabulary, indent: string): string {
  const options = json.anyOf ?? json.oneOf;
  if (json.$ref) return json.$ref.slice(json.$ref.lastIndexOf('/') + 1);
  if (options) return options.map((option) => write(option, vocabulary, indent)).join(separator(options, indent));
  if (json.const !== undefined) return JSON.stringify(json.const).replaceAll('"', "'");
  if (json.enum) return json.enum.map((value) => `'${String(value)}'`).join(' | ');
  if (Object.keys(json).every((key) => key === '$schema')) return '…';
  switch (json.type) {
    case 'object':
      return writeObject(json, vocabulary, indent);
    case 'array':
      return `[${write(json.items ?? {}, vocabulary, indent)}] ${span(json.minItems ?? 0, json.maxItems)}`;
    case 'string':
      return writeString(json, vocabulary);
    case 'integer':
    case 'number':
      return writeNumber(json);
    case 'boolean':
    case 'null':
      return json.type;
    default:
      throw new Error(`a schema that cannot be shown: ${JSON.stringify(json)}`);
  }
}

const separator = (options: readonly Json[], indent: string): string =>
  options.some(({ type }) => type === 'object') ? `\n${indent}| ` : ' | ';

function writeObject(json: Json, vocabulary: Vocabulary, indent: string): string {
  const members = Object.entries(json.properties ?? {});
  if (members.length === 0) return json.additionalProperties === false ? '{}' : '{ name: value, … }';
  const written = members.map(([name, member]) => {
    const optional = json.required?.includes(name) ? '' : '?';
    return `${name}${optional}: ${write(member, vocabulary, `${indent}  `)}`;
  });
  const line = `{ ${written.join(', ')} }`;
  if (!line.includes('\n') && line.length <= maxLineLength) return line;
  return `{\n${written.map((member) => `${indent}  ${member}`).join('\n')}\n${indent}}`;
}

function writeString({ pattern, minLength, maxLength }: Json, { patterns }: Vocabulary): string {
  const name = pattern === undefined ? 'text' : (patterns[pattern] ?? `text like ${pattern}`);
  const length = maxLength === undefined ? '' : ` ${span(minLength ?? 0, maxLength)}`;
  return name + length;
}

function writeNumber({ type, minimum, maximum }: Json): string {
  if (type === 'number') return 'number';
  if (minimum === 0 && maximum === Number.MAX_SAFE_INTEGER) return 'count';
  if (minimum === 0 && maximum === 8.64e15) return 'millis';
  if (maximum === Number.MAX_SAFE_INTEGER) return `whole number ≥ ${minimum ?? 0}`;
  return `whole number ${minimum ?? '…'}…${maximum ?? ''}`;
}

/** `≤ 64` or `1…64`. */
function span(least: number, most: number | undefined): string {
  if (most === undefined) return `≥ ${least}`;
  return least === 0 ? `≤ ${most}` : `${least}…${most}`;
}
