/**
 * Charts one below the other as a picture for a page in Markdown: one SVG file that needs nothing else, and follows the
 * reader's light or dark.
 */
import { MARKS } from "../../dist/src/tools/page.js";
import { CHARACTER, WIDTH, colourOf, escape } from "../../dist/src/tools/plot.js";

const HEADING = 34;
const ENTRY = 24;

/**
 * Every chart is `{ title, svg }`, its svg as `lineChart` and `rowChart` make it; `names` are those of the series, in
 * order.
 */
export function picture(label, names, charts) {
  let x = 12;
  const legend = names.map((name, i) => {
    const from = x;
    x += 32 + CHARACTER * name.length + 18;
    return (
      `<g class="${colourOf(i)}"><path class="mean" d="M${from} ${ENTRY / 2}h24"/><text class="name" ` +
      `x="${from + 32}" y="${ENTRY / 2 + 4}">${escape(name)}</text></g>`
    );
  });
  let y = ENTRY;
  const parts = charts.map(({ title, svg }) => {
    const height = Number(/viewBox="0 0 \d+ (\d+)"/.exec(svg)[1]);
    const placed = svg.replace("<svg ", `<svg x="0" y="${y + HEADING}" width="${WIDTH}" height="${height}" `);
    const part = `<text class="title" x="12" y="${y + HEADING - 12}">${escape(title)}</text>\n${placed}`;
    y += HEADING + height;
    return part;
  });
  const box = `viewBox="0 0 ${WIDTH} ${y + 8}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box} role="img" aria-label="${escape(label)}">
<style>${MARKS}svg .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
</style>
<rect width="100%" height="100%" fill="var(--page)"/>
${legend.join("")}
${parts.join("\n")}
</svg>
`;
}
