/**
 * `manifold M = mixture(birkhoff, circulant, identity)`: a learned convex mixture. Its parts are manifolds of the page
 * by their names, or sets as they are written there; its weights are the softmax of one parameter, `M.weights`, equal
 * at the start. What adapts of a part goes on adapting.
 */
import type { ManifoldDecl } from "../../../grammar/ast.js";
import { known } from "../../graph/sizes.js";
import { mixable, mixtureOf, type Part } from "../../manifolds/mixture.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { setOf } from "./membership.js";
import { Abandoned, fail, lookup, type Elaboration, type Scope } from "./scope.js";
import type { Tensor } from "../typed.js";

export const isMixture = ({ value }: ManifoldDecl): boolean =>
  value.callee.parts.length === 1 && value.callee.parts[0]!.name === "mixture";

export function readMixture(state: Elaboration, item: ManifoldDecl, scope: Scope): SetInstance {
  const name = item.name.name;
  const args = item.value.lists.flat();
  const parts = args.map(({ name: option, value, span }): Part => {
    if (option || (value.kind !== "path" && value.kind !== "call"))
      return fail(state, "MHC302", span, "a mixture takes sets: `mixture(birkhoff, circulant, identity)`");
    const entity = value.kind === "path" && value.parts.length === 1 ? lookup(scope, value.parts[0]!.name) : null;
    // What is wrong with it has been said.
    if (entity?.kind === "poison") throw new Abandoned();
    const instance = entity?.kind === "manifold" ? entity.manifold : setOf(state, value, scope);
    if (!mixable.includes(instance.set.name)) {
      fail(state, "MHC302", span, `nothing is known of mixtures with ${instance.set.name}`, {
        fix: `a mixture is of sets that lie in one convex set: ${mixable.join(", ")}`,
      });
    }
    return { name: entity?.kind === "manifold" ? entity.name : instance.set.name, instance };
  });
  if (parts.length < 2)
    fail(state, "MHC302", item.value.span, `a mixture is of two sets at least, and this is of ${parts.length}`, {
      fix: "write `mixture(birkhoff, identity)`",
    });
  const twice = parts.findIndex((part, i) => parts.findIndex((other) => other.name === part.name) !== i);
  if (twice >= 0)
    fail(state, "MHC202", args[twice]!.span, `\`${parts[twice]!.name}\` is a part twice`, {
      fix: `take one out, or give them names if they differ: \`manifold Other = ${parts[twice]!.name}(…)\``,
    });
  const tensor: Tensor = {
    name: "weights",
    kind: "parameter",
    axes: [{ name: "part", size: known(parts.length) }],
    dtype: "f32",
    range: null,
    span: item.value.span,
  };
  state.parameters.push({
    tensor,
    name: `${name}.weights`,
    start: { kind: "constant", args: [{ text: "0", value: () => 0 }] },
    on: null,
    doc: null,
  });
  const own = parts.flatMap(({ instance }, i) => instance.adapt.map((one) => ({ ...one, what: `${i}.${one.what}` })));
  return {
    set: mixtureOf(parts),
    options: {},
    adapt: [{ kind: "mixed", what: "weights", name: `${name}.weights`, parts: parts.map((part) => part.name) }, ...own],
  };
}
