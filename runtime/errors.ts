/** What can go wrong at run time, by kind, so that an app can tell the data from the device. Each says what to do. */

/** Every error that mhc throws of what it was given; anything else is a bug. */
export class MhcError extends Error {
  /** Written out: a minifier gives classes names of its own. */
  override readonly name: string = "MhcError";
  /** What to do about it; null when the message says it all. */
  readonly fix: string | null;
  constructor(message: string, fix: string | null = null) {
    super(message);
    this.fix = fix;
  }
}

/** The data, a checkpoint or an argument is wrong. */
export class DataError extends MhcError {
  override readonly name = "DataError";
}

/** There is no such device, it refused, or it was lost. */
export class DeviceError extends MhcError {
  override readonly name = "DeviceError";
}

/** A tensor with numbers that are not finite. */
export interface NotFinite {
  /**
   * What it is: a parameter, the optimizer's state, a tensor of the batch, or the gradient of the parameter of this
   * name.
   */
  readonly kind: "parameter" | "state" | "input" | "gradient";
  readonly name: string;
  /** How many of its numbers are not finite, of how many. */
  readonly count: number;
  readonly size: number;
}

/** What is known of numbers that are not finite: which step, which tensors, and what there is to go back to. */
export interface NumericReport {
  /** The step that could not be made; of a finished one whose update did it, that step. */
  readonly step: number;
  /** The last step whose loss was finite; null when none was since the model was made or loaded. */
  readonly lastFinite: number | null;
  /**
   * What came first is first: parameters in the order of the page, their optimizer's state, the batch; gradients from
   * the end of the page to its beginning, as they are computed.
   */
  readonly tensors: readonly NotFinite[];
  /** The last checkpoint of the run: all its numbers are finite. Null when nothing was saved. */
  readonly checkpoint: { readonly step: number; readonly path: string } | null;
}

/** A number that is not finite where one is needed. */
export class NumericError extends MhcError {
  override readonly name = "NumericError";
  /** The step, the tensors and the last good checkpoint. */
  readonly report: NumericReport;
  constructor(message: string, fix: string | null, report: NumericReport) {
    super(message, fix);
    this.report = report;
  }
}

/** What was thrown, in words: the message of an error. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The same in one line: browsers put the lines of a message one below the other. */
export const reasonOf = (error: unknown): string =>
  messageOf(error)
    .trim()
    .replace(/\s*\n\s*/g, " ");
