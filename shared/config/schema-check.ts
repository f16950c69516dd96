/** Checks a parsed file against a zod schema and turns what zod says into problems with a place and a suggestion. */
import { z } from 'zod';
import { type ConfigProblem, pathText } from './problems.ts';
import { didYouMean } from './suggest.ts';
import type { YamlFile } from './yaml-file.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** @returns the value as the schema gives it, or undefined when `problems` got an entry. */
export function checkFile<S extends z.ZodType>(file: YamlFile, schema: S, problems: ConfigProblem[]): z.output<S> | undefined {
  if (file.problems.length > 0) {
    problems.push(...file.problems);
    return undefined;
  }
  const result = schema.safeParse(file.value ?? {});
  if (result.success) return result.data;
  for (const issue of result.error.issues) report(issue, [], { file, schema, problems });
  return undefined;
}

interface Context {
  readonly file: YamlFile;
  readonly schema: z.ZodType;
  readonly problems: ConfigProblem[];
}

function report(issue: Issue, base: Path, context: Context): void {
  const path = [...base, ...issue.path];
  const { file, schema, problems } = context;
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) {
      const message = `unknown key${didYouMean(key, knownKeys(schema, path))}`;
      problems.push({ file: file.label, ...file.keyAt([...path, key]), path: pathText([...path, key]), message });
    }
    return;
  }
  if (issue.code === 'invalid_union') {
    const branch = likeliest(issue.errors);
    if (branch) {
      for (const inner of branch) report(inner, path, context);
      return;
    }
  }
  const inKey = issue.code === 'invalid_key' ? issue.issues.map((inner) => inner.message).join('; ') : undefined;
  const place = inKey === undefined ? file.at(path) : file.keyAt(path);
  problems.push({ file: file.label, ...place, path: pathText(path), message: inKey ?? messageOf(issue, path) });
}

function messageOf(issue: Issue, path: Path): string {
  if (issue.code === 'invalid_type') {
    const missing = issue.input === undefined && /received undefined/.test(issue.message);
    return missing ? `${String(path.at(-1) ?? 'the value')} is missing` : issue.message.replace(/^Invalid input: /, '');
  }
  return issue.message.replace(/^Invalid (input|option): /, '');
}

/** The branch of a union that the writer meant: the one that got past the type of the value. */
function likeliest(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const past = branches.filter((issues) => !issues.some((issue) => issue.path.length === 0 && issue.code === 'invalid_type'));
  return past.length === 1 ? past[0] : undefined;
}

/** The keys that a strict object of the schema knows at a path. */
export function knownKeys(schema: z.ZodType, path: Path): readonly string[] {
  const keys: string[] = [];
  for (const place of schemasAt([schema], path)) {
    if (place instanceof z.ZodObject) keys.push(...Object.keys(place.shape));
  }
  return keys;
}

function schemasAt(start: readonly z.ZodType[], path: Path): readonly z.ZodType[] {
  let here = start.flatMap(unwrap);
  for (const step of path) {
    here = here.flatMap((schema) => stepInto(schema, step)).flatMap(unwrap);
  }
  return here;
}

const asType = (schema: unknown): z.ZodType => schema as z.ZodType;

function stepInto(schema: z.ZodType, step: PropertyKey): z.ZodType[] {
  if (schema instanceof z.ZodObject) {
    const field = (schema.shape as Record<PropertyKey, z.ZodType>)[step];
    return field ? [field] : [];
  }
  if (schema instanceof z.ZodArray) return [asType(schema.element)];
  if (schema instanceof z.ZodRecord) return [asType(schema.valueType)];
  return [];
}

/** Takes off defaults, transforms and the like, and spreads unions. */
function unwrap(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodUnion) return schema.options.map(asType).flatMap(unwrap);
  if (schema instanceof z.ZodPipe) return [schema.in, schema.out].map(asType).flatMap(unwrap);
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodReadonly
  ) {
    return unwrap(asType(schema.def.innerType));
  }
  return [schema];
}
