/** How a command ends: exit codes, and errors in words. */
import { DataError, DeviceError, MhcError, NumericError } from "../../runtime/errors.js";

/** The spec is wrong and its diagnostics are printed already. */
export class SpecError extends Error {}

/** The command was called wrongly. */
export class UsageError extends Error {}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  if (error instanceof DeviceError) return 3;
  if (error instanceof SpecError || error instanceof DataError || error instanceof NumericError) return 1;
  return 1;
}

export function explain(error: unknown, debug: boolean): string {
  if (error instanceof SpecError || error instanceof UsageError) return error.message;
  if (error instanceof MhcError) return `error: ${error.message}${error.fix ? `\nfix: ${error.fix}` : ""}`;
  const text = error instanceof Error ? error.message : String(error);
  const stack = debug && error instanceof Error && error.stack ? `\n${error.stack}` : "";
  return `error: ${text}\nThis is a bug of mhc: please report it with the spec and the command${debug ? "" : "; --debug prints where it happened"}.${stack}`;
}
