/** The grammar of matching expressions, row by row of the behaviour table, and what is said of those that are wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { compileExpression, matcherOf } from './expression.ts';
import { Subject } from './subject.ts';

type Row = readonly [title: string, expression: string, yes: readonly string[], no: readonly string[]];
const rows: readonly Row[] = [
  ['MX-01: an expression without a letter is a glob', '*.pdf', ['a.pdf'], ['a.txt']],
  ['MX-02: a glob ignores case', '*.pdf', ['Report.PDF'], []],
  ['MX-03: a glob covers the whole value', 'INV_*.csv', ['INV_1.csv'], ['xINV_1.csv', 'INV_1.csv.x']],
  ['MX-04: * crosses path separators', '*/INV_*.csv', ['/srv/inbox/a/INV_1.csv'], ['INV_1.csv']],
  ['MX-05: * matches a leading dot', '*', ['.profile'], []],
  ['MX-06: ? is exactly one character', 'some_file?.txt', ['some_file1.txt'], ['some_file11.txt', 'some_file.txt']],
  ['MX-07: [a-c] is a class', '[ao]*', ['abc', 'oxo'], ['bac']],
  ['MX-07: [a-c] is a range', '[a-c]x', ['ax', 'bx', 'Cx'], ['dx', '-x']],
  ['MX-08: [!seq] is a negated class', 'file[!a]', ['fileb'], ['filea', 'file']],
  ['MX-09: brackets make a special character literal', 'f[?].txt', ['f?.txt'], ['fx.txt']],
  ['MX-10: alternatives, blanks around them do not count', '*.pdf | *.txt', ['report.pdf', 'summary.txt'], ['a.csv']],
  ['MX-11: ! at the start negates', '! *.tmp', ['a.pdf'], ['a.tmp']],
  ['MX-12: ! at the start means neither', '! *.tmp | *.filepart', ['a.pdf'], ['a.tmp', 'b.filepart']],
  ['MX-13: ! elsewhere is literal', 'a!b*', ['a!bc'], ['abc', 'xbc']],
  [
    'MX-14: a glob spans line breaks',
    '*<Response>*Success*</Response>*',
    ['<x>\n<Response>\nSuccess</Response>'],
    ['<Response>'],
  ],
  ['MX-15: g/…/ is a glob', 'g/*.pdf | *.txt/', ['report.pdf', 'summary.txt'], ['a.csv']],
  ['MX-15: g/…/ may begin with the letter of another form', 'g/m/x/*.csv/', ['m/x/a.csv'], ['x/a.csv']],
  ['MX-16: m/…/ is searched, and minds case', 'm/report-\\d/', ['old-report-1x'], ['REPORT-1']],
  ['MX-17: m/…/i ignores case', 'm/.*\\.pDf$/i', ['A.PDF'], ['a.pdfx']],
  ['MX-18: anchors make it exact', 'm/^report-\\d\\.pdf$/', ['report-1.pdf'], ['previous-report-1.pdf']],
  ['MX-19: . stops at a line feed', 'm/a.b/', ['axb'], ['a\nb']],
  ['MX-19: \\n is one', 'm/a\\nb/', ['a\nb'], ['a b']],
  ['MX-20: blanks in a regular expression count', 'm/ x/', [' x'], ['x']],
  ['MX-21: slashes in a regular expression need no escape', 'm//inbox/(.+)/i', ['/INBOX/a'], ['inbox']],
  ['MX-22: e/…/ is true where it is not found', 'e/.*\\.pdf$/', ['a.txt', 'A.PDF'], ['a.pdf']],
  ['MX-22: e/…/i ignores case', 'e/\\.pdf$/i', ['a.txt'], ['A.PDF']],
  ['MX-25: braces, parentheses, + and @ are literal in globs', '{a,b}.txt', ['{a,b}.txt'], ['a.txt']],
  ['MX-25: so are groups', '+(a)@x', ['+(a)@x'], ['aa@x', 'a@x']],
  ['MX-27: named groups of Python work', 'm/(?P<x>a)b/', ['ab'], ['b']],
  ['MX-27: flags within work', 'm/(?i)inv/', ['INV'], ['x']],
  ['p/…/: * stays in a component, ** does not', 'p/in/**/*.csv/', ['in/a.csv', 'in/x/y/a.csv'], ['in/a.CSV', 'a.csv', 'in/x/y/']],
  ['p/…/: braces are alternatives', 'p/{in,out}/*.{csv,txt}/', ['in/a.csv', 'out/b.txt'], ['in/x/a.csv', 'in/a.pdf']],
];
for (const [title, expression, yes, no] of rows) {
  test(`${title}, ${expression}`, () => {
    const matches = matcherOf(expression);
    for (const value of yes) assert.ok(matches(value), `should match ${JSON.stringify(value)}`);
    for (const value of no) assert.ok(!matches(value), `should not match ${JSON.stringify(value)}`);
  });
}

const november = Date.UTC(2026, 10, 1, 12, 5, 9);
const dated = (expression: string, value: string, atMs = november, timeZone = 'UTC'): boolean =>
  matcherOf(expression, { timeZone })(value, atMs);

test('MX-23: dates in t/…/ are those of now', () => {
  const monthly = 't/*acct_{year.no_century}_{month.padded}.txt/';
  assert.ok(dated(monthly, 'x/ACCT_26_11.txt'));
  assert.ok(!dated(monthly, 'acct_26_10.txt'));
  const all =
    't/{year.decimal} {month.decimal} {month.name} {month.abbreviated} {day.padded} {day.decimal} {day.of_year_padded} {day.name} ' +
    '{day.abbreviated} {hour.padded_24} {hour.decimal_24} {hour.padded_12} {hour.decimal_12} {hour.am_pm} {minute.padded} ' +
    '{minute.decimal} {second.padded} {second.decimal} {Year.No_Century}/';
  assert.ok(dated(all, '2026 11 November Nov 01 1 305 Sunday Sun 12 12 12 12 PM 05 5 09 9 26'));
  assert.ok(dated(all, '2026 1 January Jan 02 2 002 Friday Fri 00 0 12 12 AM 00 0 00 0 26', Date.UTC(2026, 0, 2)));
});

test('MX-23: the same expression follows the time, and the time zone', () => {
  const expression = compileExpression('t/{day.padded}.csv/', { timeZone: 'Europe/Berlin' });
  const subject = new Subject('02.csv');
  assert.equal(expression.test(subject, Date.UTC(2026, 10, 1, 22, 59, 59)), false);
  assert.equal(expression.test(subject, Date.UTC(2026, 10, 1, 23)), true);
});

test('MX-24: t/…/-1d is the day before, on the first of a month the last of the one before', () => {
  assert.ok(dated('t/{month.padded}-{day.padded}/-1d', '10-31'));
  assert.ok(dated('t/{year.decimal}-{month.padded}-{day.padded}/-1d', '2025-12-31', Date.UTC(2026, 0, 1)));
  assert.ok(dated('t/{day.padded}/+1w', '08'));
  assert.ok(dated('t/{hour.padded_24}/-13h', '23'));
  // The night of a change of clocks has 25 hours; the day before is the day before at its end, too.
  assert.ok(dated('t/{day.padded}/-1d', '25', Date.UTC(2026, 9, 26, 22, 30), 'Europe/Berlin'));
});

type Wrong = readonly [title: string, expression: string, column: number, hint: RegExp];
const wrong: readonly Wrong[] = [
  ['MX-26: unbalanced', 'm/(a/', 3, /missing closing \)/],
  ['MX-26: a bracket', 'g/ab[c/', 5, /never closed/],
  ['MX-26: a letter that begins a form which does not end', 'm/inbox', 8, /write g\/m\/inbox\//],
  ['MX-26: unknown modifiers', 'm/a/x', 5, /with an i to ignore case/],
  ['MX-26: a form that looks like a path', 't/a/b.csv', 5, /for a glob that begins so/],
  ['MX-26: an offset that is none', 't/a/-1y', 5, /offset like -1d/],
  ['MX-26: a placeholder that is none', 't/a{yeer.decimal}/', 4, /did you mean "year.decimal"/],
  ['MX-27: look-ahead', 'm/a(?=b)/', 4, /look-ahead/],
  ['MX-27: back-references', 'm/(a)\\1/', 6, /back-references/],
  ['MX-27: \\Z of Python', 'm/a\\Z/', 4, /\\z/],
  ['too long', `m/${'a'.repeat(519)}/`, 521, /at most 520/],
  ['nothing in it', 'm//', 3, /empty/],
  ['p/…/ has no extended globs', 'p/+(a)/', 3, /no meaning/],
  ['p/…/ bounds what braces stand for', `p/${'{a,b,c,d,e}'.repeat(2)}/`, 3, /at most 16/],
];
for (const [title, expression, column, hint] of wrong) {
  test(`${title}: ${expression.slice(0, 24)} is refused at column ${column}`, () => {
    assert.throws(
      () => compileExpression(expression),
      (error) => {
        assert.ok(error instanceof SallyportError && error.code === 'config-invalid');
        assert.match(error.message, hint);
        assert.equal(error.fields.column, column);
        return true;
      },
    );
  });
}
