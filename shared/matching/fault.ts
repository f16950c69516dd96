/** What is wrong with an expression, and where. */
import { SallyportError } from '../errors.ts';

/** @param column From 1. @param hint What to write instead. */
export const expressionFault = (column: number, hint: string): SallyportError =>
  new SallyportError('config-invalid', `column ${column}: ${hint}`, { column, hint });

/** Runs `parse`; a fault that it finds in a piece is told at its place in the whole, `by` characters further. */
export function shiftedFaults<T>(by: number, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SallyportError) || typeof error.fields.column !== 'number') throw error;
    throw expressionFault(error.fields.column + by, String(error.fields.hint));
  }
}
