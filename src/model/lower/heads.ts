/**
 * Heads: what can be sampled of a page. Every `cross_entropy` against next tokens has scores of what comes next. They
 * have the name of the block or the definition that made them, so that a user can say which are meant.
 */
import type { Node } from "../../graph/node.js";
import type { Typed, TypedOf } from "../typed.js";

/** Scores of next tokens. */
export interface Head {
  /** What made them: the name of a block's instance, or of a definition. */
  readonly name: string;
  /** The data source whose next tokens they predict. */
  readonly predicts: string;
  /** [batch, …axes, classes] */
  readonly logits: Node;
}

/**
 * The head that a loss makes of its scores, beside those there are; null when it is one of them, or predicts no next
 * tokens. Scores that stand in two losses are one head; others of one name are told apart by a number.
 */
export function headOf(
  heads: readonly Head[],
  { logits, target }: TypedOf<"cross_entropy">,
  scores: Node,
): Head | null {
  if (target.kind !== "tensor" || !target.tensor.name.endsWith(".next")) return null;
  if (heads.some((head) => head.logits === scores)) return null;
  const name = nameOf(logits);
  const alike = heads.filter((head) => head.name === name || head.name.startsWith(`${name}:`)).length;
  const predicts = target.tensor.name.slice(0, -".next".length);
  return { name: alike ? `${name}:${alike + 1}` : name, predicts, logits: scores };
}

/** What a page calls the value of an expression. */
function nameOf(e: Typed): string {
  if (e.kind === "relabel") return nameOf(e.a);
  if (e.kind === "tensor") return e.tensor.name;
  return e.kind === "call" ? e.instance.path.slice(e.instance.path.lastIndexOf(".") + 1) : "head";
}
