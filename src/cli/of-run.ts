/** A run that a command opens again: its page with its settings and its data. */
import type { RunInfo } from "../tools/run.js";
import { settingsOf, type SpecOptions } from "./project.js";

/** The options with a run's settings and data, where the command line does not say otherwise. */
export const ofRun = (flags: SpecOptions, { set, data }: RunInfo): SpecOptions => ({
  set: settingsOf(
    Object.entries(set).map(([name, value]) => `${name}=${value}`),
    flags.set ?? [],
  ),
  data: flags.data ?? Object.entries(data).map(([name, location]) => `${name}=${location}`),
});
