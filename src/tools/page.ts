/**
 * Pages of results: one file without scripts or anything from elsewhere, so that it can be sent as it is; it follows
 * the reader's light or dark.
 */
import { COLOURS, colourOf, escape } from "./plot.js";

/** A whole page. `body` is HTML. */
export const document = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
${body}
</main>
</body>
</html>
`;

/** A part of a page: its title, what it shows in words, and HTML. */
export const section = (title: string, text: string, ...parts: readonly string[]): string =>
  `<section>\n<h2>${escape(title)}</h2>\n<p>${escape(text)}</p>\n${parts.join("\n")}\n</section>`;

/** A table with a heading for each row. `cell`: the HTML of a cell that is no heading. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  cell: (text: string) => string = escape,
): string {
  const headings = head.map((text) => `<th>${escape(text)}</th>`).join("");
  const lines = rows.map(
    ([heading = "", ...cells]) =>
      `<tr><th>${escape(heading)}</th>${cells.map((text) => `<td>${cell(text)}</td>`).join("")}</tr>`,
  );
  return (
    `<div class="wide"><table>\n<thead><tr>${headings}</tr></thead>\n` +
    `<tbody>\n${lines.join("\n")}\n</tbody>\n</table></div>`
  );
}

/** What the colours of a plot stand for. `mark`: the SVG that shows one, 26 wide and 10 high. */
export function legend(mark: string, names: readonly { readonly colour: number; readonly name: string }[]): string {
  const items = names.map(
    ({ colour, name }) =>
      `<li><svg class="${colourOf(colour)}" viewBox="0 0 26 10" aria-hidden="true">${mark}</svg>${escape(name)}</li>`,
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}

/** The spec of a page, folded up. */
export const folded = (title: string, text: string): string =>
  `<details><summary>${escape(title)}</summary><pre>${escape(text)}</pre></details>`;

/** Colours, and what a plot's marks look like: for a page, and for a picture of its own. */
export const MARKS = `
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #0b0b0b; --soft: #52514e; --grid: #e4e3dc; --axis: #a9a8a0;
  --code: #f1f0ea; --note: #8a4b00;
  --c0: #2a78d6; --c1: #eb6834; --c2: #1baf7a; --c3: #c98500; --c4: #e0629b;
  --c5: #008300; --c6: #4a3aa7; --c7: #e34948; }
@media (prefers-color-scheme: dark) { :root {
  --page: #1a1a19; --ink: #ffffff; --soft: #c3c2b7; --grid: #33332f; --axis: #6d6c66;
  --code: #262624; --note: #f0b25e;
  --c0: #3987e5; --c1: #e2703d; --c2: #199e70; --c3: #c98500; --c4: #d55181;
  --c5: #3fa33f; --c6: #9085e9; --c7: #e66767; } }
${Array.from({ length: COLOURS }, (_, i) => `.s${i} { color: var(--c${i}); }`).join(" ")}
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); } svg .name { fill: var(--ink); }
.grid { stroke: var(--grid); } .axis { stroke: var(--axis); }
.thin { fill: none; stroke: currentColor; stroke-width: 1; opacity: 0.35; stroke-linejoin: round; }
.mean { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.again .mean { stroke-dasharray: 6 4; }
circle, circle.thin, circle.mean { fill: currentColor; stroke: var(--page); stroke-width: 1; }
.seed { opacity: 0.55; } .bar { fill: currentColor; } .again .bar { opacity: 0.6; }
.whisker { fill: none; stroke: var(--ink); stroke-width: 1.5; opacity: 0.75; }
`;

const STYLE = `${MARKS}
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 900px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 22px; line-height: 1.3; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 4px; }
p { margin: 0 0 10px; color: var(--soft); overflow-wrap: anywhere; }
.note { color: var(--note); }
svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 6px; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 6px; }
.legend svg { width: 26px; flex: none; }
.legend li { font-size: 13px; }
.wide { overflow-x: auto; margin: 0 calc(50% - min(50vw - 16px, 700px)) 10px; }
.wide table { margin: 0 auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--grid); }
td { white-space: nowrap; }
@media (max-width: 1180px) { td { white-space: normal; } th, td { padding-right: 8px; } }
thead th { color: var(--soft); font-weight: 600; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 7em; }
.interval { color: var(--soft); }
pre { background: var(--code); padding: 10px 12px; border-radius: 6px; overflow-x: auto;
  font-size: 12.5px; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; }
`;
