/** How a report looks, on a screen and on paper. No file but the report itself is ever loaded: no script, no font, no image. */
export const reportStyle = `
:root { --ink:#1d2733; --soft:#5b6b7b; --line:#dbe1e8; --paper:#fff; --wash:#f6f8fa; --yes:#1a7f4b; --no:#b3261e; --unknown:#8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; background: var(--paper); padding: 40px 48px 56px; }
h1 { font-size: 30px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-top: 10px; border-top: 2px solid var(--ink); }
h3 { font-size: 16px; margin: 26px 0 8px; }
p { margin: 8px 0; max-width: 78ch; }
.sub { color: var(--soft); margin: 0; }
.top { display: flex; gap: 32px; justify-content: space-between; align-items: flex-start; }
.verdict { flex: none; border-radius: 10px; padding: 14px 22px; color: #fff; text-align: center; min-width: 190px; }
.verdict b { display: block; font-size: 28px; line-height: 1.1; }
.verdict.yes { background: var(--yes); } .verdict.no { background: var(--no); }
.kinds { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 22px 0 8px; }
.kinds div { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.kinds b { display: block; font-size: 15px; } .kinds span { color: var(--soft); font-size: 13px; line-height: 1.35; display: block; }
.kinds i { float: right; font-style: normal; font-weight: 700; color: var(--yes); } .kinds i.no { color: var(--no); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--ink); padding: 6px 10px 6px 0; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: 8px 10px 8px 0; vertical-align: top; overflow-wrap: anywhere; }
tr { break-inside: avoid; }
.mark { font-weight: 700; width: 26px; font-size: 16px; line-height: 1.3; }
.mark.yes { color: var(--yes); } .mark.no { color: var(--no); } .mark.unknown { color: var(--unknown); }
.kind { color: var(--soft); width: 82px; white-space: nowrap; }
.evidence { color: var(--soft); font-size: 12.5px; margin: 3px 0 0; padding: 0; list-style: none; }
.offending { color: var(--no); font-weight: 600; font-size: 13px; margin: 3px 0 0; padding: 0; list-style: none; }
code { font: 12px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; background: var(--wash); padding: 1px 4px; border-radius: 3px; overflow-wrap: anywhere; white-space: pre-wrap; }
td.check { width: 34%; }
tr.accept td:first-child, tr.drop td:first-child { white-space: nowrap; overflow-wrap: normal; }
.drop td { background: #fdf3f2; }
figure { margin: 16px 0; } svg { width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 13px; }
ul.plain li { margin: 4px 0; max-width: 90ch; }
@media print { body { background: #fff; font-size: 12px; } main { padding: 0; max-width: none; } h2 { break-after: avoid; } }
@page { size: A4; margin: 16mm 14mm; }
`;
