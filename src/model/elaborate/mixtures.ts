/**
 * `manifold M = mixture(birkhoff, circulant, identity)`: a learned convex mixture. Its parts are manifolds of the page
 * by their names, or sets as they are written there; its weights are the softmax of one parameter, `M.weights`, equal
 * at the start. Options of a part that adapt go on adapting.
 */
import type { Arg, ManifoldDecl } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { known } from "../../graph/sizes.js";
import { mixable, mixtureOf, type MixturePart } from "../../manifolds/mixture.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { constantStart } from "./numbers.js";
import { fail, floatTensor, giveUp, lookupBare, type Elaboration, type Scope } from "./scope.js";
import { setOf } from "./set-instances.js";
import { bareName } from "./syntax.js";

/** Whether a manifold of the page is declared as a mixture. */
export const isMixture = ({ value }: ManifoldDecl): boolean => bareName(value.callee) === "mixture";

/** The mixture that a manifold is declared as. Its weights are added to the parameters of the page. */
export function readMixture(state: Elaboration, item: ManifoldDecl, scope: Scope): SetInstance {
  const { span } = item.value;
  const args = item.value.lists.flat();
  const parts = args.map((arg) => readPart(state, arg, scope));
  if (parts.length < 2)
    fail(state, "MHC302", span, `a mixture is of two sets at least, and this is of ${parts.length}`, {
      fix: "write `mixture(birkhoff, identity)`",
    });
  const twice = parts.findIndex((part, i) => parts.findIndex((other) => other.name === part.name) !== i);
  if (twice >= 0) {
    const { name } = mustAt(parts, twice);
    fail(state, "MHC202", mustAt(args, twice).span, `\`${name}\` is a part twice`, {
      fix: `take one out, or give them names if they differ: \`manifold Other = ${name}(…)\``,
    });
  }
  const tensor = floatTensor("parameter", { name: "weights", span }, [{ name: "part", size: known(parts.length) }]);
  const name = `${item.name.name}.weights`;
  state.parameters.push({ tensor, name, start: constantStart(0), on: null, doc: null });
  const ofParts = parts.flatMap(({ instance }, i) =>
    instance.adapt.map((adaptation) => ({ ...adaptation, what: `${i}.${adaptation.what}` })),
  );
  return {
    set: mixtureOf(parts),
    options: {},
    adapt: [{ kind: "mixed", what: "weights", name, parts: parts.map((part) => part.name) }, ...ofParts],
  };
}

function readPart(state: Elaboration, { name, value, span }: Arg, scope: Scope): MixturePart {
  if (name || (value.kind !== "path" && value.kind !== "call"))
    return fail(state, "MHC302", span, "a mixture takes sets: `mixture(birkhoff, circulant, identity)`");
  const entity = lookupBare(scope, value);
  if (entity?.kind === "poison") return giveUp();
  const named = entity?.kind === "manifold" ? entity : null;
  const instance = named?.manifold ?? setOf(state, value, scope);
  if (!mixable.includes(instance.set.name))
    fail(state, "MHC302", span, `nothing is known of mixtures with ${instance.set.name}`, {
      fix: `a mixture is of sets that lie in one convex set: ${mixable.join(", ")}`,
    });
  return { name: named?.name ?? instance.set.name, instance };
}
