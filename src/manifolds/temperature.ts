/**
 * Logits divided by the option `temperature`, before the softmax or Sinkhorn's exponential: members are near the middle
 * of their set when it is high and near its corners when it is low. Annealing it over a run is `adapt temperature =
 * cosine(4, 1)`. Learning it adds nothing: the logits are free, and grow by themselves.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { quantity, type OptionKind, type Setting } from "./set.js";

/** Logits divided by the option `temperature`; themselves where it is 1. */
export function tempered(b: Builder, logits: Node, setting: Setting): Node {
  if (setting.adapted["temperature"] === undefined && setting.options["temperature"] === 1) return logits;
  return b.div(logits, b.broadcast(quantity(b, setting, "temperature"), logits.shape, []));
}

/** The option `temperature`. */
export const temperature = { kind: "real", default: 1, from: 1e-3, to: 1e3 } as const satisfies OptionKind;
