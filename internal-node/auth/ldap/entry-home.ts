/**
 * Where an entry says that deliveries of its user go: the value of one attribute, put into a template. A value is below the
 * template whatever separators it begins with, and cannot climb out of it.
 */
import type { DirectoryOptions } from './directory-options.ts';

type HomeSettings = NonNullable<DirectoryOptions['home']>;

/** @returns the path below a destination, or undefined when the attribute is missing, empty, not single, or no such path. */
export function homeFrom({ attribute, template }: HomeSettings, values: readonly string[]): string | undefined {
  const [value, ...more] = values;
  if (value === undefined || more.length > 0) return undefined;
  const path = value.replaceAll('\\', '/').replace(/^\/+|\/+$/g, '');
  const parts = path.split('/');
  if (path.includes('${') || parts.some((part) => part.trim() === '' || part === '.' || part === '..')) return undefined;
  return (template ?? placeholderOf(attribute)).replace(placeholderOf(attribute), () => path);
}

/** `{msIIS_FTPDir}` of `msIIS-FTPDir`. */
const placeholderOf = (attribute: string): string => `{${attribute.replaceAll('-', '_')}}`;
