/**
 * The op table: one record an op. The verifier, the evaluator, differentiation, cost and the generated tests are
 * derived from it; the type says that no op of `node.ts` may be missing.
 */
import { affineReads } from "./ops/affine.js";
import { attentions } from "./ops/attention.js";
import { composites } from "./ops/composite.js";
import { elementwise, leaves } from "./ops/elementwise.js";
import { recurrences } from "./ops/recurrence.js";
import { structure } from "./ops/structure.js";
import type { Op } from "./node.js";
import type { OpTable } from "./record.js";

/** The record of every op. */
export const opTable: OpTable = {
  ...leaves,
  ...elementwise,
  ...structure,
  ...affineReads,
  ...recurrences,
  ...composites,
  ...attentions,
};

/** The names of all ops. */
export const allOps = Object.keys(opTable) as readonly Op[];
