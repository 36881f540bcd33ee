/**
 * Calls: of a block, which makes an instance of it; of a manifold, which makes a member; and of the functions that the
 * language has.
 */
import type { Call, Expr } from "../../../grammar/ast.js";
import { unify, variable, type Size } from "../../graph/sizes.js";
import { axesOf, type Axis, type Typed } from "../typed.js";
import { axisNamed } from "./axes.js";
import {
  BUILTINS,
  elementwise,
  elementwiseNamed,
  memberOf,
  OF_AXES,
  ONE_HOT,
  RANDOM,
  REDUCERS,
  unknownFunction,
} from "./builtins.js";
import { valueOn } from "./definitions.js";
import { sizeOf } from "./numbers.js";
import { randomized } from "./randomness.js";
import { reduction } from "./reducers.js";
import {
  blocksIn,
  expression,
  fail,
  giveUp,
  lookup,
  lookupBare,
  namesIn,
  refuseNotTaken,
  type BlockValue,
  type DataArg,
  type Elaboration,
  type Expected,
  type Scope,
} from "./scope.js";
import { distance, mapped } from "./set-calls.js";
import { dotted } from "./syntax.js";
import { NONE_STANDING, standingIn } from "./standing.js";
import { kindOf } from "./tensors.js";

/** A call of anything, by what its name stands for. */
export function call(state: Elaboration, e: Call, scope: Scope, expected: Expected): Typed {
  const [owner, member, ...further] = e.callee.parts;
  if (member && !further.length) {
    const entity = lookup(scope, owner.name);
    if (entity?.kind === "poison") return giveUp();
    if (entity?.kind === "manifold") return distance(state, e, entity, member, scope);
  }
  const name = dotted(e.callee);
  const entity = lookupBare(scope, e.callee);
  if (entity?.kind === "poison") return giveUp();
  if (e.axes) return reduction(state, e, e.axes, scope);
  if (entity?.kind === "manifold") return mapped(state, e, entity, scope, expected);
  if (entity && entity.kind !== "block")
    return fail(state, "MHC210", e.callee.span, `\`${name}\` is not a block or a function`, {
      notes: [{ message: "it is defined here", span: entity.span }],
    });
  const decl = entity?.block.decl ?? blocksIn(state, e.span.file).get(name);
  if (!decl) return builtin(state, e, name, scope, expected);
  const isSplit = e.lists.length > 1;
  if (entity && isSplit) return fail(state, "MHC207", e.span, `\`${name}\` has its configuration already`);
  const config = (isSplit ? e.lists[0] : null) ?? [];
  const data: DataArg[] = (e.lists.at(-1) ?? []).map((arg) => ({ kind: "written", arg, scope }));
  const block: BlockValue = entity?.block ?? {
    decl,
    config,
    beside: [],
    scope,
    path: null,
    wrapped: false,
    span: e.span,
  };
  return state.readers.instantiate(state, { block, data, caller: scope, expected, as: e.as, span: e.span });
}

/** A call of a function that the language has. */
function builtin(state: Elaboration, e: Call, name: string, scope: Scope, expected: Expected): Typed {
  const f = elementwiseNamed(name);
  if (f) return elementwise(state, e, f, (arg) => expression(state, arg, scope, expected));
  if (memberOf(REDUCERS, name))
    return fail(state, "MHC207", e.span, `\`${name}\` needs the axes that it works along`, {
      fix: `write \`${name}[axis](…)\``,
    });
  if (name === ONE_HOT)
    return fail(state, "MHC207", e.span, `\`${name}\` needs the axis that it makes`, {
      fix: `write \`${name}[axis](…)\``,
    });
  const random = memberOf(RANDOM, name);
  if (random) return randomized(state, e, random, { scope, expected });
  if (name === "cross_entropy") return crossEntropy(state, e, scope);
  const said = memberOf(OF_AXES, name);
  if (said) return ofAxis(state, e, said, scope);
  refuseNotTaken(state, name, e.callee.span);
  return unknownFunction(state, e, name, `there is no block or function \`${name}\``, [
    ...blocksIn(state, e.span.file).keys(),
    ...BUILTINS,
    ...namesIn(scope),
  ]);
}

/** `size(t)`, or `index(t)`. */
function ofAxis(state: Elaboration, e: Call, name: (typeof OF_AXES)[number], scope: Scope): Typed {
  const [arg, ...more] = e.lists.flat();
  if (arg?.value.kind !== "path" || more.length || arg.name)
    return fail(state, "MHC207", e.span, `\`${name}\` takes the name of an axis`, { fix: `write \`${name}(t)\`` });
  const path = arg.value;
  if (name === "index") {
    const ident = { name: dotted(path), span: path.span };
    return { kind: "position", axis: axisNamed(state, ident, scope), span: e.span };
  }
  const entity = lookupBare(scope, path);
  const size = entity?.kind === "dim" ? entity.axis.size : sizeOf(state, path, scope);
  return { kind: "size", size, span: e.span };
}

/**
 * The axis of the classes: the one of that size that the logits name, as `scores[t, vocab]` does, or else one that only
 * `cross_entropy` knows.
 */
function classAxis(logits: Expr, around: readonly Axis[], range: Size, scope: Scope): Axis {
  const named = [...standingIn(logits, [], NONE_STANDING).alone].flatMap((name): readonly Axis[] => {
    const entity = lookup(scope, name);
    return entity?.kind === "dim" && !around.includes(entity.axis) && unify(entity.axis.size, range)
      ? [entity.axis]
      : [];
  });
  const [only, second] = named;
  if (only && !second) return only;
  const classes: Axis = { name: "class", size: variable("class") };
  unify(classes.size, range);
  return classes;
}

function crossEntropy(state: Elaboration, e: Call, scope: Scope): Typed {
  const args = e.lists.flat();
  const [logitsArg, targetArg] = args;
  if (!logitsArg || !targetArg || args.length !== 2)
    return fail(state, "MHC207", e.span, "`cross_entropy` takes logits and targets");
  const target = expression(state, targetArg.value, scope, null);
  const { dtype, range } = kindOf(target);
  if (dtype !== "u32" || !range)
    return fail(
      state,
      "MHC210",
      targetArg.span,
      "the targets of `cross_entropy` are whole numbers from the data, such as `corpus.next`",
    );
  const classes = classAxis(logitsArg.value, axesOf(target), range, scope);
  const logits = valueOn(state, logitsArg.value, scope, [...axesOf(target), classes]);
  return { kind: "cross_entropy", logits, target, classes, kept: [], span: e.span };
}
