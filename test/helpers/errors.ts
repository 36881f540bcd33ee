/** docs/errors.md, made from the table of codes and the explanations. */
import { check } from "../../src/compile/compile.js";
import { explanations, type Explanation } from "../../src/diagnostics/explanations/index.js";
import { render } from "../../src/diagnostics/render.js";
import { table, type Code } from "../../src/diagnostics/table.js";

const CHAPTERS: Readonly<Record<string, string>> = {
  "1": "Text",
  "2": "Names, axes and values",
  "3": "Sets and claims",
  "4": "Data",
  "5": "Training and cost",
  "6": "Targets",
};

const codes = (Object.keys(table) as Code[]).sort();
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const fenced = (text: string, language: string): string => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;
const linkOf = (read: string): string => `[${read}](${read.replace(/^docs\//, "")})`;

/** A paragraph in lines of 120 columns. */
function wrapped(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) ?? "";
    if (last !== "" && last.length + word.length >= 120) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.join("\n");
}

/** What the compiler says of a wrong page. */
function saidOf(page: string): string {
  const { diagnostics, sources } = check(page, { file: "page.mhc", host: { read: () => null } });
  return diagnostics.map((diagnostic) => render(diagnostic, sources)).join("\n\n");
}

function section(code: Code): string {
  const { severity, title } = table[code];
  const { text, example, arises, read }: Explanation = explanations[code];
  return [
    `### ${code}`,
    wrapped(`${capital(title)}${severity === "warning" ? " (a warning)" : ""}. ${text}`),
    ...(example
      ? [fenced(example.wrong, "text"), fenced(saidOf(example.wrong), "text"), "Right:", fenced(example.right, "mhc")]
      : []),
    ...(arises === null ? [] : [wrapped(`How it comes about: ${arises}`)]),
    `More: ${linkOf(read)}.`,
  ].join("\n\n");
}

/** The page as it is to be. */
export const errorsPage = (): string =>
  `${[
    "# Errors and warnings",
    wrapped(
      "Every code, with a page that raises it, what the compiler says of that page, and the page mended. " +
        "`mhc explain MHC204` prints the same. This page is written by `npm run docs:language`.",
    ),
    ...Object.entries(CHAPTERS).flatMap(([digit, chapter]) => [
      `## ${chapter}`,
      ...codes.filter((code) => code.charAt(3) === digit).map(section),
    ]),
  ].join("\n\n")}\n`;
