/**
 * A set as a page writes it: its name and its options, `birkhoff(iterations = 20)`. An option is written by its name; a
 * flag is one word, for true or for false: `birkhoff(exact)`, `birkhoff(truncated)`.
 */
import type { Arg, Call, Expr, Path } from "../../../grammar/ast.js";
import { merged, recordOf, valueAt } from "../../../runtime/records.js";
import type { Span } from "../../diagnostics/span.js";
import type { ConstraintSet, OptionKind, Options, OptionValue, SetInstance } from "../../manifolds/registry.js";
import { scalarOf } from "./numbers.js";
import { fail, unknownName, type Elaboration, type Scope } from "./scope.js";
import { argumentsOf, bareName, calleeOf, dotted } from "./syntax.js";

/** A set with its options: `birkhoff`, `birkhoff(iterations = 20)`. */
export function setOf(state: Elaboration, e: Path | Call, scope: Scope): SetInstance {
  const { sets } = state;
  const callee = calleeOf(e);
  const name = dotted(callee);
  const set = valueAt(sets, name);
  if (!set && name === "mixture")
    return fail(
      state,
      "MHC301",
      e.span,
      "a mixture has weights, which are called by its name: it is declared on its own",
      { fix: "write `manifold Mix = mixture(…)`, and `Mix` here" },
    );
  if (!set)
    return unknownName(state, {
      code: "MHC301",
      span: callee.span,
      message: `\`${name}\` is not a manifold; there are ${Object.keys(sets).join(", ")}`,
      name,
      candidates: Object.keys(sets),
    });
  const written = optionsAsWritten(state, set, e, scope);
  const options = merged(defaultsOf(set), recordOf([...written].map(([option, { value }]) => [option, value])));
  // A flag that is written with its default does no harm: `birkhoff(by = permutations, exact)`.
  const idle = set
    .idle?.(options)
    .map((option) => written.get(option))
    .find((option) => option && !(typeof option.value === "boolean" && option.value === option.kind.default));
  if (idle)
    fail(state, "MHC302", idle.span, `\`${idle.word}\` means nothing beside the other options of \`${name}\``, {
      fix: "take it out",
    });
  return { set, options, adapt: [] };
}

/** The options of a set when the page says nothing. */
export const defaultsOf = (set: ConstraintSet): Options =>
  recordOf(Object.entries(set.options).map(([name, option]) => [name, option.default]));

/** An option as a page writes it: `iterations = 20`, or the word of a flag, `exact` or `truncated`. */
interface WrittenOption {
  /** The option's own name, and the word that the page has for it. */
  readonly name: string;
  readonly word: string;
  readonly kind: OptionKind;
  readonly value: OptionValue;
  readonly span: Span;
}

/** The options that the page sets, by their own names. */
function optionsAsWritten(
  state: Elaboration,
  set: ConstraintSet,
  e: Path | Call,
  scope: Scope,
): ReadonlyMap<string, WrittenOption> {
  const written = new Map<string, WrittenOption>();
  for (const arg of argumentsOf(e)) {
    const option = readOption(state, set, arg, scope);
    const before = written.get(option.name);
    if (before) {
      const name = dotted(calleeOf(e));
      const message =
        before.word === option.word
          ? `\`${option.word}\` of \`${name}\` is set twice`
          : `\`${name}\` cannot be both \`${before.word}\` and \`${option.word}\``;
      return fail(state, "MHC302", arg.span, message, {
        notes: [{ message: "this is the first of the two", span: before.span }],
        fix: "take one of them out",
      });
    }
    written.set(option.name, option);
  }
  return written;
}

function readOption(state: Elaboration, set: ConstraintSet, arg: Arg, scope: Scope): WrittenOption {
  const { span } = arg;
  const word = arg.name?.name ?? (arg.value.kind === "path" ? arg.value.parts[0].name : "");
  const kind = valueAt(set.options, word);
  if (arg.name && kind) return { name: word, word, kind, value: optionOf(state, arg.value, word, kind, scope), span };
  if (!arg.name) {
    if (kind?.kind === "flag") return { name: word, word, kind, value: true, span };
    for (const [name, other] of Object.entries(set.options))
      if (other.kind === "flag" && other.opposite === word) return { name, word, kind: other, value: false, span };
  }
  const words = Object.entries(set.options).flatMap(([name, other]) =>
    other.kind === "flag" && other.opposite ? [name, other.opposite] : [name],
  );
  return unknownName(state, {
    code: "MHC302",
    span,
    message: `\`${set.name}\` has no option \`${word}\`; it has ${words.join(", ") || "none"}`,
    name: word,
    candidates: words,
  });
}

/** A value of an option, within its limits. */
export function optionOf(state: Elaboration, e: Expr, name: string, option: OptionKind, scope: Scope): OptionValue {
  switch (option.kind) {
    case "flag": {
      const word = bareName(e);
      return word === "true" || word === "false"
        ? word === "true"
        : fail(state, "MHC302", e.span, `\`${name}\` is true or false`);
    }
    case "choice": {
      const word = bareName(e);
      return word !== null && option.choices.includes(word)
        ? word
        : fail(state, "MHC302", e.span, `\`${name}\` is ${option.choices.join(" or ")}`);
    }
    case "integer":
    case "real":
      return numericOptionOf(state, e, name, option, scope);
    default:
      return option satisfies never;
  }
}

/** An option that is a number. */
export type NumericOption = Extract<OptionKind, { readonly kind: "integer" | "real" }>;

/** A number of an option, within its limits. */
export function numericOptionOf(
  state: Elaboration,
  e: Expr,
  name: string,
  { kind, from, to }: NumericOption,
  scope: Scope,
): number {
  const number = scalarOf(state, e, scope);
  if (number.depths?.length)
    fail(state, "MHC302", e.span, `\`${name}\` depends on the layer here, and a set is the same in all layers`);
  const given = number.value();
  // Of a block without a use, a number that nothing is known of is assumed to be right.
  const value = state.assumed !== null && Number.isNaN(given) ? Math.min(to, Math.max(from, 1)) : given;
  if (value >= from && value <= to && (kind === "real" || Number.isInteger(value))) return value;
  const what = kind === "integer" ? "a whole number" : "a number";
  return fail(state, "MHC302", e.span, `\`${name}\` is ${what} from ${from} to ${to}`);
}
