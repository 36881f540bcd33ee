/**
 * `dropout(x, p)` and `noise(x, deviation)`: what draws random numbers at every training step. Each use has a name of
 * its own, so that no two draw the same numbers: the path of what it stands in, and how many uses there are before it.
 */
import type { Call } from "../../../grammar/ast.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { RandomFunction, Typed, TypedModel } from "../typed.js";
import { walk } from "../walk.js";
import { scalarOf } from "./numbers.js";
import { expression, fail, type Elaboration, type Expected, type Scope } from "./scope.js";

/** What each takes beside the value, and which numbers it may be. */
const AMOUNTS = {
  dropout: {
    takes: "the probability with which a number of it becomes 0",
    example: "dropout(x, 0.1)",
    allows: (p: number) => p >= 0 && p < 1,
    range: "a probability from 0 to below 1",
  },
  noise: {
    takes: "the deviation of what is added to it",
    example: "noise(x, 0.1)",
    allows: (deviation: number) => deviation >= 0,
    range: "a deviation that is not below 0",
  },
} as const;

/** Where a call stands. */
interface CallPlace {
  readonly scope: Scope;
  readonly expected: Expected;
}

/** A call of `dropout` or `noise`. */
export function randomized(state: Elaboration, e: Call, f: RandomFunction, { scope, expected }: CallPlace): Typed {
  const { takes, example, allows, range } = AMOUNTS[f];
  const args = e.lists.flat();
  const [value, number] = args;
  if (!value || !number || args.length !== 2 || e.lists.length > 1 || value.name || number.name)
    return fail(state, "MHC207", e.span, `\`${f}\` takes a value and ${takes}`, { fix: `write \`${example}\`` });
  const a = expression(state, value.value, scope, expected);
  const amount = scalarOf(state, number.value, scope);
  const known = amount.value();
  // A number that depends on the data is not known before the data is read, and NaN until then.
  if (!Number.isNaN(known) && !allows(known))
    return fail(state, "MHC207", number.span, `\`${f}\` takes ${range}, and this is ${known}`);
  return { kind: "random", f, a, amount, site: siteOf(state, scope, f), span: e.span };
}

/** What is wrong with the first amount that is no number, of a model whose sizes are known; null where each is one. */
export function wrongAmount(model: TypedModel): Diagnostic | null {
  const wrong: Diagnostic[] = [];
  walk(model, (e) => {
    if (e.kind === "random" && Number.isNaN(e.amount.value()))
      wrong.push(
        diagnostic("MHC207", e.span, `\`${e.f}\` takes ${AMOUNTS[e.f].range}, and \`${e.amount.text}\` is no number`),
      );
  });
  return wrong[0] ?? null;
}

function siteOf({ sites }: Elaboration, { prefix }: Scope, f: RandomFunction): string {
  const name = prefix + f;
  const count = (sites.get(name) ?? 0) + 1;
  sites.set(name, count);
  return count === 1 ? name : `${name}:${count}`;
}
