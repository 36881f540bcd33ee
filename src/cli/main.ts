#!/usr/bin/env node
/**
 * The command line: one file a command, no logic of its own. Exit codes: 0 done, 1 the spec or the data is wrong, 2 usage, 3 the
 * device failed. Commands load what they need when they run, since imports are most of the time a small command takes.
 */
import { Command, CommanderError } from "commander";
import { devicesCommand } from "./devices.js";
import { benchCommand } from "./bench.js";
import { checkCommand } from "./check.js";
import { compareCommand } from "./compare.js";
import { compileCommand } from "./compile.js";
import { costCommand } from "./cost.js";
import { fmtCommand } from "./fmt.js";
import { sampleCommand } from "./sample.js";
import { trainCommand } from "./train.js";
import { tuneCommand } from "./tune.js";
import { verifyCommand } from "./verify.js";
import { version } from "./version.js";
import { exitCodeOf, explain } from "./outcome.js";

const program = new Command("mhc")
  .description("A language and compiler for networks on manifolds: a page of .mhc becomes a whole training step.")
  .version(version)
  .option("--debug", "print the stack of an unexpected error")
  .exitOverride()
  .showHelpAfterError("(mhc --help lists the commands)");

for (const command of [checkCommand, fmtCommand, compileCommand, costCommand, trainCommand, compareCommand, sampleCommand, benchCommand, tuneCommand, verifyCommand, devicesCommand]) {
  program.addCommand(command().exitOverride());
}

// A reader such as `head` may leave early; that is no error of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.exitCode = exitCodeOf(error);
    process.stderr.write(`${explain(error, program.opts<{ debug?: boolean }>().debug === true)}\n`);
  }
}
