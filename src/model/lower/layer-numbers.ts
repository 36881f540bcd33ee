/**
 * Values that are made of numbers alone, some of them of the layer: `1 / (l + 1)`. Each layer has another one, and as
 * arithmetic of constants it would be nodes of every layer, which recompute would take for work to be done twice. So
 * such a value is computed here.
 */
import type { Builder } from "../../graph/builder.js";
import { evaluate } from "../../graph/evaluate.js";
import type { Node } from "../../graph/node.js";
import type { Typed } from "../typed.js";
import { partsOf } from "../walk.js";

/** What an expression is made of: other things than numbers, numbers, or numbers some of which are of a layer. */
type Made = "other" | "numbers" | "of a layer";

const known = new WeakMap<Typed, Made>();

function madeOf(e: Typed): Made {
  const before = known.get(e);
  if (before) return before;
  const made = read(e);
  known.set(e, made);
  return made;
}

function read(e: Typed): Made {
  switch (e.kind) {
    case "number":
    case "size":
      return "numbers";
    case "scalar":
      return e.scalar.depths?.length ? "of a layer" : "numbers";
    case "unary":
    case "binary":
    case "product": {
      const parts = partsOf(e).map(madeOf);
      if (parts.includes("other")) return "other";
      return parts.includes("of a layer") ? "of a layer" : "numbers";
    }
    default:
      return "other";
  }
}

/** Whether an expression is a number that depends on the layer, and is more than its name. */
export const isLayerNumber = (e: Typed): boolean => e.kind !== "scalar" && madeOf(e) === "of a layer";

/** A node that is made of constants alone as one constant. */
export function folded(b: Builder, node: Node): Node {
  const [value = Number.NaN] =
    evaluate({ name: "number", outputs: new Map([["value", node]]), updates: new Map() }, new Map()).outputs.get(
      "value",
    ) ?? [];
  return b.constant(value);
}
