#!/usr/bin/env node
/**
 * The command line: one file a command, no logic of its own. Exit codes: 0 done, 1 the spec or the data is wrong, 2
 * usage, 3 the device failed, 128 and its number for a signal. Commands load what they need when they run, since
 * imports are most of the time a small command takes. With `--json` an error is an object on stdout, whatever it is of,
 * and nothing else is said of it.
 */
import { Command, CommanderError } from "commander";
import { devicesCommand } from "./devices.js";
import { benchCommand } from "./bench.js";
import { bisectCommand } from "./bisect.js";
import { checkCommand } from "./check.js";
import { compareCommand } from "./compare.js";
import { compileCommand } from "./compile.js";
import { costCommand } from "./cost.js";
import { evalCommand } from "./eval.js";
import { explainCommand } from "./explain.js";
import { fmtCommand } from "./fmt.js";
import { sampleCommand } from "./sample.js";
import { targetTestCommand } from "./target-test.js";
import { trainCommand } from "./train.js";
import { tuneCommand } from "./tune.js";
import { verifyCommand } from "./verify.js";
import { version } from "./version.js";
import { readerLeft } from "./interrupt.js";
import { errorLine, exitCodeOf, explain, PrintedError } from "./outcome.js";

const program = new Command("mhc")
  .description("A language and compiler for networks on manifolds: a page of .mhc becomes a whole training step.")
  .version(version)
  .option("--debug", "print the stack of an unexpected error")
  .exitOverride()
  .showHelpAfterError("(mhc --help lists the commands)");

/** Known before the words are parsed, since parsing may be what fails. */
const ends = process.argv.indexOf("--");
const json = process.argv.slice(2, ends < 0 ? undefined : ends).includes("--json");

for (const command of [
  checkCommand,
  fmtCommand,
  compileCommand,
  costCommand,
  trainCommand,
  compareCommand,
  evalCommand,
  sampleCommand,
  benchCommand,
  tuneCommand,
  verifyCommand,
  bisectCommand,
  targetTestCommand,
  devicesCommand,
  explainCommand,
]) {
  program.addCommand(
    command()
      .exitOverride()
      .configureOutput(json ? { writeErr: () => undefined } : {}),
  );
}
if (json) program.configureOutput({ writeErr: () => undefined });

// A reader such as `head` may leave early, and a terminal may be closed; that is no error of ours.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
    readerLeft();
  });
}

/** Says what is wrong and ends: whatever is still under way (a worker, a timer, a device) is for nothing then. */
async function fail(error: unknown): Promise<void> {
  const code = exitCodeOf(error);
  // Commander has printed its own errors, and help that was asked for, in words.
  const words =
    error instanceof CommanderError || error instanceof PrintedError
      ? ""
      : `${explain(error, program.opts<{ debug?: boolean }>().debug === true)}\n`;
  const silent = code === 0 || error instanceof PrintedError || (error instanceof Error && error.message === "");
  const line = silent ? "" : `${JSON.stringify(errorLine(error))}\n`;
  const [stream, text] = json ? ([process.stdout, line] as const) : ([process.stderr, words] as const);
  await new Promise<void>((done) => void stream.write(text, () => done()));
  process.exit(code);
}

process.on("uncaughtException", (error) => void fail(error));
try {
  await program.parseAsync();
} catch (error) {
  await fail(error);
}
