/** mhc fmt: rewrites specs in the one layout; with --check it only says which are not in it. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import * as options from "./options.js";
import { SpecError } from "./outcome.js";
import { openProject, report } from "./project.js";

export const fmtCommand = (): Command =>
  new Command("fmt")
    .description("format specs in place")
    .argument("<specs...>", ".mhc files")
    .option("--check", "change nothing; exit 1 when a file is not formatted")
    .addOption(options.json())
    .action(async (files: readonly string[], given: { readonly check?: boolean; readonly json?: boolean }) => {
      const { format } = await import("../../grammar/format.js");
      const { writeAtomically } = await import("../../runtime/node/files.js");
      let unformatted = 0;
      for (const file of files) {
        const { text } = openProject(file, {});
        const { text: formatted, diagnostics } = format(text, file);
        await report({ diagnostics, sources: (name) => (name === file ? readFileSync(file, "utf8") : undefined) }, given.json === true);
        if (formatted === null || formatted === text) continue;
        unformatted++;
        if (given.check) process.stdout.write(given.json ? `${JSON.stringify({ file, formatted: false })}\n` : `${file} is not formatted\n`);
        else await writeAtomically(file, formatted);
      }
      if (given.check && unformatted) throw new SpecError(given.json ? "" : `run mhc fmt on ${unformatted === 1 ? "it" : "them"}`);
    });
