/** How a command ends: exit codes, and errors in words and as JSON. */
import { CommanderError } from "commander";
import { DataError, DeviceError, MhcError, NumericError, messageOf } from "../../runtime/errors.js";

/** The spec is wrong; without a message its diagnostics are printed already. */
export class SpecError extends Error {}

/** The command was called wrongly. */
export class UsageError extends Error {}

/** An error that was printed already as a line of JSON. */
export class PrintedError extends Error {
  constructor(readonly error: unknown) {
    super(messageOf(error));
  }
}

/**
 * What is wrong, as a program is told: the page, the data or a file, numbers that are not finite, the device, the call,
 * or mhc itself.
 */
export type ErrorKind = "spec" | "data" | "numeric" | "device" | "usage" | "bug";

const EXIT_CODES: Readonly<Record<ErrorKind, number>> = { spec: 1, data: 1, numeric: 1, device: 3, usage: 2, bug: 1 };

function kindOf(error: unknown): ErrorKind {
  if (error instanceof UsageError || error instanceof CommanderError) return "usage";
  if (error instanceof SpecError) return "spec";
  if (error instanceof DataError) return "data";
  if (error instanceof NumericError) return "numeric";
  return error instanceof DeviceError ? "device" : "bug";
}

/** Asking for help or the version is no error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof PrintedError) return exitCodeOf(error.error);
  return error instanceof CommanderError && error.exitCode === 0 ? 0 : EXIT_CODES[kindOf(error)];
}

const REPORT = "this is a bug of mhc: please report it with the spec and the command";

function fixOf(error: unknown): string | null {
  if (error instanceof MhcError) return error.fix;
  if (error instanceof CommanderError) return "`mhc COMMAND --help` lists what a command takes";
  return kindOf(error) === "bug" ? REPORT : null;
}

/**
 * An error as a line of JSON: what kind it is, its class, what is wrong, what to do (null when the message says it
 * all), and how the process ends.
 */
export const errorLine = (error: unknown): Readonly<Record<string, unknown>> => {
  const kind = kindOf(error);
  const code = {
    spec: "SpecError",
    data: "DataError",
    numeric: "NumericError",
    device: "DeviceError",
    usage: "UsageError",
    bug: "Error",
  }[kind];
  return {
    error: kind,
    code,
    message: messageOf(error)
      .replace(/^error: /, "")
      .trim(),
    fix: fixOf(error),
    exit_code: exitCodeOf(error),
  };
};

/** An error as the terminal shows it. */
export function explain(error: unknown, debug: boolean): string {
  if (error instanceof SpecError || error instanceof UsageError) return error.message;
  if (error instanceof MhcError) return `error: ${error.message}${error.fix ? `\nfix: ${error.fix}` : ""}`;
  const stack = debug && error instanceof Error && error.stack ? `\n${error.stack}` : "";
  const where = debug ? "" : "; --debug prints where it happened";
  return `error: ${messageOf(error)}\nT${REPORT.slice(1)}${where}.${stack}`;
}
