/**
 * An explanation of every code, for `mhc explain` and docs/errors.md: what the code means, a page that raises it, and
 * that page mended. Tests compile both.
 */
import type { Code } from "../table.js";
import { axes } from "./axes.js";
import { data } from "./data.js";
import type { Explanation } from "./explanation.js";
import { names } from "./names.js";
import { sets } from "./sets.js";
import { settings } from "./settings.js";
import { syntax } from "./syntax.js";

export type { Example, Explanation } from "./explanation.js";

/** What is said of each code of the table. */
export const explanations: Readonly<Record<Code, Explanation>> = {
  ...syntax,
  ...names,
  ...axes,
  ...sets,
  ...data,
  ...settings,
};
