/** What can go wrong at run time, by kind, so that an app can tell the data from the device. Each says what to do. */
import type { NumericReport } from "./finite.js";

export class MhcError extends Error {
  /** What to do about it; null when the message says it all. */
  readonly fix: string | null;
  constructor(message: string, fix: string | null = null) {
    super(message);
    this.name = new.target.name;
    this.fix = fix;
  }
}

/** The data, a checkpoint or an argument is wrong. */
export class DataError extends MhcError {}

/** There is no such device, it refused, or it was lost. */
export class DeviceError extends MhcError {}

/** A number that is not finite where one is needed. */
export class NumericError extends MhcError {
  /** The step, the tensors and the last good checkpoint. */
  readonly report: NumericReport;
  constructor(message: string, fix: string | null, report: NumericReport) {
    super(message, fix);
    this.report = report;
  }
}
