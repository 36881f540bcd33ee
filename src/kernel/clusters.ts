/**
 * How many invocations of a subgroup a kernel takes to exchange values, so that a device can tell whether it has as
 * many.
 */
import type { Stmt } from "./ir.js";
import { eachExpr } from "./operands.js";

/** The widest cluster of any exchange; 0 when there is none. */
export function clusterOf(body: readonly Stmt[]): number {
  let widest = 0;
  eachExpr(body, (e) => {
    if (e.kind === "exchange") widest = Math.max(widest, e.width);
  });
  return widest;
}
