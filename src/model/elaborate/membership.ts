/**
 * Sets on a page: `manifold Mixing = birkhoff` names one, and parameters are put on one, where they are declared
 * (`param up[w, hidden] ~ normal(0.02) each hidden on sphere`) or from outside, in `constrain` (`mlp.up each hidden on
 * sphere`). An axis after `each` counts points; the axes that are left are a point's: all of them are one vector, or
 * two are a matrix, or every entry is a point of its own.
 */
import type { Arg, Call, Expr, Ident, Path, Section } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { describe, resolve, unify, type Polynomial } from "../../graph/sizes.js";
import type { ConstraintSet, OptionKind, Options, OptionValue, SetInstance } from "../../manifolds/registry.js";
import { rankOf } from "../../manifolds/set.js";
import { nearest } from "../../diagnostics/suggest.js";
import { matches } from "./claims.js";
import { scalarOf } from "./numbers.js";
import { listed } from "../quantities.js";
import { written } from "../paths.js";
import { Abandoned, fail, lookup, unknownName, type Elaboration, type Scope } from "./scope.js";
import type { Axis, Membership, Parameter, Tensor } from "../typed.js";
import { merged, recordOf, valueAt } from "../../../runtime/records.js";

const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

/** A set with its options: `birkhoff`, `birkhoff(iterations = 20)`. */
export function setOf(state: Elaboration, e: Path | Call, scope: Scope): SetInstance {
  const { sets } = state;
  const callee = e.kind === "path" ? e : e.callee;
  const kind = dotted(callee);
  const set = valueAt(sets, kind) ?? null;
  if (!set && kind === "mixture")
    return fail(
      state,
      "MHC301",
      e.span,
      "a mixture has weights, which are called by its name: it is declared on its own",
      { fix: "write `manifold Mix = mixture(…)`, and `Mix` here" },
    );
  if (!set)
    return unknownName(
      state,
      "MHC301",
      callee.span,
      `\`${kind}\` is not a manifold; there are ${Object.keys(sets).join(", ")}`,
      kind,
      Object.keys(sets),
    );
  const given = new Map<string, Written>();
  for (const arg of e.kind === "path" ? [] : e.lists.flat()) {
    const option = settingOf(state, set, arg, scope);
    const before = given.get(option.name);
    if (before) {
      const message =
        before.word === option.word
          ? `\`${option.word}\` of \`${kind}\` is set twice`
          : `\`${kind}\` cannot be both \`${before.word}\` and \`${option.word}\``;
      return fail(state, "MHC302", arg.span, message, {
        notes: [{ message: "this is the first of the two", span: before.span }],
        fix: "take one of them out",
      });
    }
    given.set(option.name, option);
  }
  const options = merged(defaultsOf(set), recordOf([...given].map(([name, { value }]) => [name, value])));
  // A flag that is what it is without being written does no harm: `birkhoff(by = permutations, exact)`.
  const idle = set
    .idle?.(options)
    .map((name) => given.get(name))
    .find(
      (option) =>
        option && !(typeof option.value === "boolean" && option.value === valueAt(set.options, option.name)!.default),
    );
  if (idle) {
    fail(state, "MHC302", idle.span, `\`${idle.word}\` means nothing beside the other options of \`${kind}\``, {
      fix: "take it out",
    });
  }
  return { set, options, adapt: [] };
}

/** An option as a page writes it: `iterations = 20`, or the word of a flag, `exact` or `truncated`. */
interface Written {
  /** The option's own name, and the word that the page has for it. */
  readonly name: string;
  readonly word: string;
  readonly value: OptionValue;
  readonly span: Span;
}

function settingOf(state: Elaboration, set: ConstraintSet, arg: Arg, scope: Scope): Written {
  const { span } = arg;
  const word = arg.name?.name ?? (arg.value.kind === "path" ? arg.value.parts[0]!.name : "");
  const option = valueAt(set.options, word) ?? null;
  if (arg.name && option) return { name: word, word, value: optionOf(state, arg.value, word, option, scope), span };
  if (!arg.name) {
    if (option?.kind === "flag") return { name: word, word, value: true, span };
    const negated = Object.entries(set.options).find(([, other]) => other.kind === "flag" && other.opposite === word);
    if (negated) return { name: negated[0], word, value: false, span };
  }
  const words = Object.entries(set.options).flatMap(([name, other]) =>
    other.kind === "flag" && other.opposite ? [name, other.opposite] : [name],
  );
  const message = `\`${set.name}\` has no option \`${word}\`; it has ${words.join(", ") || "none"}`;
  return unknownName(state, "MHC302", span, message, word, words);
}

const defaultsOf = (set: ConstraintSet): Options =>
  recordOf(Object.entries(set.options).map(([name, option]) => [name, option.default]));

/** A value of an option, within its limits. */
export function optionOf(state: Elaboration, e: Expr, name: string, option: OptionKind, scope: Scope): OptionValue {
  const named = e.kind === "path" && e.parts.length === 1 ? e.parts[0]!.name : null;
  switch (option.kind) {
    case "flag":
      return named === "true" || named === "false"
        ? named === "true"
        : fail(state, "MHC302", e.span, `\`${name}\` is true or false`);
    case "choice":
      return named && option.choices.includes(named)
        ? named
        : fail(state, "MHC302", e.span, `\`${name}\` is ${option.choices.join(" or ")}`);
    case "integer": {
      const value = scalarOf(state, e, scope).value();
      return Number.isInteger(value) && value >= option.from && value <= option.to
        ? value
        : fail(state, "MHC302", e.span, `\`${name}\` is a whole number from ${option.from} to ${option.to}`);
    }
    case "real": {
      const value = scalarOf(state, e, scope).value();
      return value >= option.from && value <= option.to
        ? value
        : fail(state, "MHC302", e.span, `\`${name}\` is a number from ${option.from} to ${option.to}`);
    }
    default:
      return option satisfies never;
  }
}

/** A parameter on a set: a manifold of the model by its name, or a set as it is written there. */
export function membershipOf(
  state: Elaboration,
  tensor: Tensor,
  each: readonly Ident[],
  on: Path | Call,
  scope: Scope,
): Membership {
  const entity = on.kind === "path" && on.parts.length === 1 ? lookup(scope, on.parts[0]!.name) : null;
  // What is wrong with it has been said.
  if (entity?.kind === "poison") throw new Abandoned();
  const manifold = entity?.kind === "manifold" ? entity.manifold : setOf(state, on, scope);
  const { set, options } = manifold;
  const counted = each.map((ident): Axis => {
    const axis = tensor.axes.find(({ name }) => name === ident.name);
    return (
      axis ??
      unknownName(
        state,
        "MHC205",
        ident.span,
        `\`${tensor.name}\` has no axis \`${ident.name}\`; its axes are ${listed(tensor.axes)}`,
        ident.name,
        tensor.axes.map(({ name }) => name),
      )
    );
  });
  const twice = each.find((ident, i) => each.findIndex(({ name }) => name === ident.name) !== i);
  if (twice) fail(state, "MHC205", twice.span, `\`each ${twice.name}\` stands twice`);
  const left = tensor.axes.filter((axis) => !counted.includes(axis));
  const rank = rankOf(set.point);
  if (rank > 0 && left.length < rank)
    fail(
      state,
      "MHC303",
      on.span,
      `a member of ${set.name} is a ${rank === 2 ? "matrix" : "vector"}, and \`${tensor.name}\` has ` +
        `${left.length ? `only ${listed(left)}` : "no axis"} left for it`,
    );
  if (rank === 2 && left.length > 2) {
    fail(
      state,
      "MHC303",
      on.span,
      `a member of ${set.name} is a matrix, and \`${tensor.name}\` has the axes ${listed(left)}`,
      { fix: `say which axes count matrices: \`each ${left[0]!.name} on ${set.name}\`` },
    );
  }
  const [n, m] = left;
  if (set.point === "square" && !unify(n!.size, m!.size))
    fail(
      state,
      "MHC303",
      on.span,
      `a matrix on ${set.name} is square, and \`${n!.name}\` is ${describe(n!.size)} while \`${m!.name}\` is ` +
        `${describe(m!.size)}`,
    );
  const sizes = rank === 2 ? left.map((axis) => resolve(axis.size)) : [];
  if (sizes.every((size): size is Polynomial => size.kind === "polynomial") && rank === 2) {
    const pieces = set.free(sizes as readonly Polynomial[], options);
    if ("error" in pieces) fail(state, "MHC303", on.span, `${set.name} ${pieces.error}`);
    else if (pieces.length === 0)
      fail(state, "MHC303", on.span, `${set.name} has one member, so there is nothing to learn`, {
        fix: "compute the value instead of declaring a parameter",
      });
  }
  return { manifold, each: counted, span: on.span };
}

/** Puts parameters on the sets that `constrain` names for them. */
export function constrained(
  state: Elaboration,
  section: Section,
  scope: Scope,
  attempt: <T>(part: () => T) => T | null,
): readonly Parameter[] {
  const members = new Map<Parameter, Membership>();
  for (const clause of section.clauses) {
    attempt(() => {
      if (clause.kind === "bound") return;
      if (clause.kind !== "on")
        return fail(
          state,
          "MHC501",
          clause.span,
          "a constraint has the form `mlp.up each hidden on sphere`, a claim the form `gain(x) <= 1.6`",
        );
      const path = dotted(clause.path);
      const found = state.parameters.filter(({ name }) => matches(name, path));
      if (found.length === 0) return unknown(state, path, clause.path.span);
      for (const parameter of found) {
        const before = parameter.on ?? members.get(parameter);
        if (before)
          return fail(
            state,
            "MHC304",
            clause.span,
            `\`${written(parameter.name)}\` is on ${before.manifold.set.name} already`,
            { notes: [{ message: "it is put there here", span: before.span }] },
          );
        members.set(parameter, membershipOf(state, parameter.tensor, clause.each, clause.manifold, scope));
      }
    });
  }
  return state.parameters.map((parameter) =>
    members.has(parameter) ? { ...parameter, on: members.get(parameter)! } : parameter,
  );
}

function unknown(state: Elaboration, path: string, span: Span): never {
  // It may be one of a part that was given up, for a reason that has been said.
  if (state.incomplete) throw new Abandoned();
  const names = [...new Set(state.parameters.map(({ name }) => written(name)))];
  const guess = nearest(path, names);
  return fail(state, "MHC201", span, `there is no parameter \`${path}\``, {
    fix: guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ") || "none"}`,
  });
}
