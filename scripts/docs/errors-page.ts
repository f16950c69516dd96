/** docs/ERRORS.md: the catalogue of errors. */
import { errorCatalogue } from '../../shared/errors.ts';
import { code, generatedFrom, table } from './markdown.ts';

export function errorsPage(): string {
  const rows = Object.entries(errorCatalogue).map(([name, { summary, retryable, partner }]) => [
    code(name),
    summary,
    retryable ? 'yes' : 'no',
    code(partner),
  ]);
  return `${generatedFrom('shared/errors.ts')}

# Errors

Whatever fails between two parts of Sallyport fails with one of these codes. The log and the events show the code, one sentence
of detail and the fields that belong to it. The other node hears only the code; a partner hears only the last column, translated
to an SFTP status. "Again" says whether the same request can succeed later without anybody changing anything.

Two defaults hold everywhere: access fails closed; data fails to retry or hold, never to loss.

${table(['Code', 'Meaning', 'Again', 'A partner hears'], rows)}
`;
}
