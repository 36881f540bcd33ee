/** mhc fmt: rewrites specs in the one layout; with --check it only says which are not in it. */
import { Command } from "commander";
import { mustAt } from "../../runtime/lookup.js";
import { write } from "./interrupt.js";
import * as options from "./options.js";
import { diagnostic } from "../diagnostics/table.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { SpecError } from "./outcome.js";
import { readPage, report } from "./project.js";

/** The command `mhc fmt`. */
export const fmtCommand = (): Command =>
  new Command("fmt")
    .description("format specs in place")
    .argument("<specs...>", ".mhc files")
    .option("--check", "change nothing; exit 1 when a file is not formatted")
    .addOption(options.json())
    .action(async (files: readonly string[], flags: { readonly check?: boolean; readonly json?: boolean }) => {
      const { format } = await import("../../grammar/format.js");
      const { toJson } = await import("../diagnostics/render.js");
      let unformatted = 0;
      for (const file of files) {
        const text = readPage(file);
        const { text: formatted, diagnostics, ends } = format(text, file);
        await report({ diagnostics, sources: (name) => (name === file ? text : undefined) }, flags.json === true);
        if (formatted === null || formatted === text) continue;
        unformatted++;
        const mixed =
          ends.lf > 0 && ends.crlf > 0 ? `of its lines ${ends.lf} end with LF and ${ends.crlf} with CRLF` : null;
        const now = formatted.includes("\r\n") ? "CRLF" : "LF";
        const row = (): unknown => toJson(unlike(file, text, formatted, mixed), () => text);
        if (flags.check && flags.json) process.stdout.write(`${JSON.stringify(row())}\n`);
        else if (flags.check) process.stdout.write(`${file} is not formatted${mixed ? `: ${mixed}` : ""}\n`);
        else await write(file, formatted);
        if (mixed && !flags.check && !flags.json) process.stdout.write(`${file}: ${mixed}; all end with ${now} now\n`);
      }
      if (flags.check && unformatted)
        throw new SpecError(flags.json ? "" : `run mhc fmt on ${unformatted === 1 ? "it" : "them"}`);
    });

/** The first line that the layout would change. */
function unlike(file: string, text: string, formatted: string, mixed: string | null): Diagnostic {
  const lines = text.split("\n");
  const wanted = formatted.split("\n");
  const at = lines.findIndex((line, i) => line !== wanted[i]);
  // All lines agree when only some at the end are missing.
  const first = at < 0 ? lines.length - 1 : at;
  const start = lines.slice(0, first).reduce((sum, line) => sum + line.length + 1, 0);
  return diagnostic(
    "MHC105",
    { file, start, end: start + mustAt(lines, first).length },
    `this file is not formatted${mixed ? `: ${mixed}` : ""}`,
    { fix: `run \`${options.command("mhc", "fmt", file)}\`` },
  );
}
