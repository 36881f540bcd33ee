/** mhc explain: what a code of an error or a warning means, with a wrong page and a right one; alone, all codes. */
import { Command } from "commander";
import { merged } from "../../runtime/records.js";
import { explanations, type Explanation } from "../diagnostics/explanations/index.js";
import { nearest } from "../diagnostics/suggest.js";
import { table, type Code } from "../diagnostics/table.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";

/** The command `mhc explain`. */
export const explainCommand = (): Command =>
  new Command("explain")
    .description("say what the code of an error or a warning means, with a wrong page and a right one")
    .argument("[code]", "a code, such as MHC204; all are listed without one")
    .addOption(options.json())
    .action((written: string | undefined, { json }: { readonly json?: boolean }) => {
      const codes = written === undefined ? codesThere() : [codeOf(written)];
      const line = written === undefined ? listed : inWords;
      const row = written === undefined ? head : whole;
      for (const code of codes) process.stdout.write(json ? `${JSON.stringify(row(code))}\n` : line(code));
      if (written === undefined && !json) process.stdout.write("mhc explain CODE says more of one\n");
    });

/** Every code, in order. */
const codesThere = (): readonly Code[] => Object.keys(table).filter(isCode).sort();

const isCode = (name: string): name is Code => Object.hasOwn(table, name);

/** `MHC204` of `MHC204`, `mhc204` and `204`. Throws a UsageError where there is no such code. */
function codeOf(written: string): Code {
  const name = written.toUpperCase().replace(/^(?=\d)/, "MHC");
  if (isCode(name)) return name;
  const near = nearTo(name);
  const guess = near.length ? `; near it are ${near.join(", ")}` : "";
  throw new UsageError(`error: there is no code ${written}${guess} (mhc explain lists all)`);
}

/** The codes around a number that is none of them, or one that a slip of the pen leads to. */
function nearTo(name: string): readonly string[] {
  const digits = /^MHC(\d+)$/.exec(name)?.[1];
  if (digits === undefined) return [nearest(name, codesThere())].filter((guess) => guess !== null);
  const away = (code: string): number => Math.abs(Number(code.slice(3)) - Number(digits));
  return [...codesThere()]
    .sort((a, b) => away(a) - away(b))
    .slice(0, 3)
    .sort();
}

const listed = (code: Code): string => `${code}  ${table[code].severity.padEnd(7)}  ${table[code].title}\n`;

/** A paragraph in lines of 80 columns. */
function wrapped(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= 80) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join("\n");
}

const indented = (page: string): string => page.replace(/^(?=.)/gm, "    ");

function inWords(code: Code): string {
  const { severity, title } = table[code];
  const { text, example, arises, read }: Explanation = explanations[code];
  const parts = [
    `${severity} ${code}: ${title}\n`,
    `${wrapped(text)}\n`,
    ...(example ? [`Wrong:\n\n${indented(example.wrong)}`, `Right:\n\n${indented(example.right)}`] : []),
    ...(arises === null ? [] : [`${wrapped(`How it comes about: ${arises}`)}\n`]),
    `More: ${read}\n`,
  ];
  return parts.join("\n");
}

const head = (code: Code): Readonly<Record<string, unknown>> => ({ code, ...table[code] });

/** All that is known of a code; what there is not is null. */
function whole(code: Code): Readonly<Record<string, unknown>> {
  const { text, example, arises, read }: Explanation = explanations[code];
  const { wrong = null, right = null } = example ?? {};
  return merged<unknown>(head(code), { text, wrong, right, arises, read });
}
