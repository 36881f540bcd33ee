/** mhc check: is the page right? Needs no data: sizes that come from it stay symbolic. */
import { Command } from "commander";
import type { Claim } from "../model/typed.js";
import * as options from "./options.js";
import { mustCheck, openProject, report, type SpecOptions } from "./project.js";

/** The command `mhc check`. */
export const checkCommand = (): Command =>
  new Command("check")
    .description("check a spec, without its data")
    .argument("<spec>", "a .mhc file")
    .addOption(options.set())
    .addOption(options.json())
    .action(async (file: string, flags: SpecOptions) => {
      const project = await openProject(file, flags);
      const { check } = await import("../compile/compile.js");
      const checked = check(project.text, project.options);
      await report(checked, flags.json === true);
      const { blocks } = checked;
      if (blocks !== undefined) {
        if (!flags.json)
          process.stdout.write(`${file} is right, as far as that can be said without a use: ${counted(blocks)}\n`);
        return;
      }
      const model = mustCheck(checked);
      if (!flags.json)
        process.stdout.write(
          `${file} is right: ${model.name}, ${model.parameters.length} parameter tensors as written\n` +
            model.claims.map(explained).join(""),
        );
    });

const counted = (blocks: number): string => `${blocks} block${blocks === 1 ? "" : "s"}`;

/** A claim and why it holds. */
const explained = ({ text, proof }: Claim): string =>
  proof
    ? `${text} is proved:\n${proof.map((step) => `  ${step}\n`).join("")}`
    : `${text} does not follow, and is monitored\n`;
