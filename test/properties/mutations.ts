/**
 * Pages with mistakes in them: every page of the project (examples, the standard library, wrong pages, documents), of
 * which characters, words or lines are dropped, doubled, exchanged or taken from another page.
 */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { format } from "../../grammar/format.js";
import { parse } from "../../grammar/parse.js";
import { check } from "../../src/compile/compile.js";
import { render } from "../../src/diagnostics/render.js";
import type { Diagnostic } from "../../src/diagnostics/diagnostic.js";

const root = new URL("../../", import.meta.url);
const pagesIn = (folder: string): readonly string[] =>
  readdirSync(new URL(folder, root))
    .filter((name) => name.endsWith(".mhc"))
    .sort()
    .map((name) => readFileSync(new URL(folder + name, root), "utf8"));

/** The pages that stand in documents. */
const documented = readdirSync(new URL("docs/", root))
  .filter((name) => name.endsWith(".md"))
  .sort()
  .flatMap((name) => [...readFileSync(new URL(`docs/${name}`, root), "utf8").matchAll(/^```mhc\n([\s\S]*?)^```/gm)])
  .map(([, page = ""]) => page);

/** All pages that mistakes are made in. */
export const originals: readonly string[] = [
  ...pagesIn("specs/"),
  ...pagesIn("specs/std/"),
  ...pagesIn("test/fixtures/wrong/"),
  ...documented,
].filter((page) => page.length < 20_000);

const UNITS = ["characters", "words", "lines"] as const;
const WAYS = ["drop", "double", "swap", "replace", "cut"] as const;

/** One mistake: what is changed, how, and two numbers that say where. */
export interface Slip {
  readonly unit: (typeof UNITS)[number];
  readonly way: (typeof WAYS)[number];
  readonly from: number;
  readonly to: number;
  /** What is put in the place of a character. */
  readonly character: string;
}

/** A page with a few mistakes. */
export interface Mutation {
  readonly page: number;
  /** The page that words and lines are taken from. */
  readonly other: number;
  readonly slips: readonly Slip[];
}

/** Characters that the language has, and some that it does not: two halves of a pair, controls, wide ones. */
const CHARACTERS = [..."()[]{}=,~*+-/%^<>.:;\"'\\ \n\t\r0123456789aexl_#@é中\u0000\u2028\ufeff", "🦩", "\ud800", "///"];

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  page: fc.nat(originals.length - 1),
  other: fc.nat(originals.length - 1),
  slips: fc.array(
    fc.record({
      unit: fc.constantFrom(...UNITS),
      way: fc.constantFrom(...WAYS),
      from: fc.nat(2 ** 20),
      to: fc.nat(2 ** 20),
      character: fc.constantFrom(...CHARACTERS),
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

/** The parts of a text; joined they are the text. */
function partsOf(text: string, unit: Slip["unit"]): string[] {
  if (unit === "characters") return text.split("");
  return unit === "lines"
    ? text.split(/(?<=\n)/)
    : text.split(/(\s+|[()[\]{}=,~*+/<>^%-])/).filter((part) => part !== "");
}

/** What a mistake makes of a text. */
function slipped(text: string, other: string, { unit, way, from, to, character }: Slip): string {
  const parts = partsOf(text, unit);
  const [i, j] = [from % Math.max(parts.length, 1), to % Math.max(parts.length, 1)];
  const theirs = partsOf(other, unit);
  switch (way) {
    case "drop":
      return parts.toSpliced(i, 1).join("");
    case "double":
      return parts.toSpliced(i, 0, parts[i] ?? "").join("");
    case "swap":
      return parts
        .with(i, parts[j] ?? "")
        .with(j, parts[i] ?? "")
        .join("");
    case "replace":
      return parts.with(i, unit === "characters" ? character : (theirs[to % theirs.length] ?? "")).join("");
    case "cut":
      return [...parts.slice(0, i), ...theirs.slice(to % theirs.length)].join("");
    default:
      return way satisfies never;
  }
}

/** The text of a mutation. */
export const mutated = ({ page, other, slips }: Mutation): string =>
  slips.reduce(
    (text, slip) => (text === "" ? text : slipped(text, originals[other] ?? "", slip)),
    originals[page] ?? "",
  );

/** The longest that any page may take, in seconds of the processor. */
const LONGEST = 1;

/** What is wrong with how the compiler takes a text; null when nothing is. Throws what the compiler throws. */
export function faultWith(text: string): string | null {
  const began = process.cpuUsage();
  const file = "page.mhc";
  const parsed = parse(text, file);
  const formatted = format(text, file);
  const checked = check(text, { file });
  const took = process.cpuUsage(began).user / 1e6;
  const diagnostics = [...parsed.diagnostics, ...formatted.diagnostics, ...checked.diagnostics];
  for (const each of diagnostics) {
    const outside = outsideOf(each, text, checked.sources);
    if (outside) return outside;
    if (!render(each, checked.sources).includes(each.code)) return `${each.code} is rendered without its code`;
  }
  if (formatted.text !== null) {
    const again = format(formatted.text, file).text;
    if (again !== formatted.text) return "formatting twice is not formatting once";
  }
  return took > LONGEST ? `it took ${took} s` : null;
}

/** A place of a diagnostic that is no place of its text. What is missing at the end is a place right behind it. */
function outsideOf(
  { code, span, notes }: Diagnostic,
  text: string,
  sources: (file: string) => string | null | undefined,
): string | null {
  for (const place of [span, ...notes.flatMap((note) => note.span ?? [])]) {
    const whole = place.file === "page.mhc" ? text : sources(place.file);
    if (whole === null || whole === undefined) return `${code} is in ${place.file}, which there is not`;
    const isBehind = place.start === whole.length && place.end === whole.length + 1;
    if (place.start < 0 || place.end < place.start || (place.end > whole.length && !isBehind))
      return `${code} is from ${place.start} to ${place.end} of ${whole.length} characters`;
  }
  return null;
}
