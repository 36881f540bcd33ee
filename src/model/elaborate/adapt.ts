/**
 * What adapts of a manifold of the page: an option that is learned between two ends (`adapt radius in 0.5 .. 2`), which
 * is one parameter for all that is on the manifold; one that is scheduled over the run (`adapt temperature = cosine(4,
 * 1)`), which is a function of the step; or a rank, which is learned by parts that close when a weight pulls them
 * (`adapt rank in 1 .. 16 weight 1e-3`). Each is checked against the set here; what it is in the graph says
 * `settings.ts`.
 */
import type { AdaptClause, ManifoldDecl } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { OptionKind, SetInstance } from "../../manifolds/registry.js";
import type { Adaptation } from "../../manifolds/set.js";
import { optionOf } from "./membership.js";
import { scalarOf } from "./numbers.js";
import { Abandoned, fail, unknownName, type Elaboration, type Scope } from "./scope.js";
import { readSchedule } from "./train.js";
import type { Parameter, Tensor } from "../typed.js";
import { valueAt } from "../../../runtime/records.js";

type Learned = Extract<AdaptClause, { readonly kind: "learned" }>;
type Scheduled = Extract<AdaptClause, { readonly kind: "scheduled" }>;
type Real = Extract<OptionKind, { readonly kind: "real" }>;

/** How far from the ends what adapts starts, of the way between them: at an end a sigmoid has no slope. */
const OFF_END = 0.02;

/** What adapts of a manifold. Its parameters are added to those of the page. */
export function adaptationsOf(
  state: Elaboration,
  item: ManifoldDecl,
  { set, options }: SetInstance,
  scope: Scope,
): readonly Adaptation[] {
  const written = new Map(
    item.value.lists.flat().flatMap((arg) => (arg.name ? [[arg.name.name, arg.span] as const] : [])),
  );
  return item.adapt.map((clause, i): Adaptation => {
    const what = clause.what.name;
    const adapts = set.adapts(options);
    if (!adapts.includes(what))
      unknownName(
        state,
        "MHC302",
        clause.what.span,
        `${set.name} cannot adapt \`${what}\`; it adapts ${adapts.join(", ") || "nothing"}`,
        what,
        adapts,
      );
    const before = item.adapt.slice(0, i).find((other) => other.what.name === what);
    if (before)
      fail(state, "MHC202", clause.what.span, `\`${what}\` adapts twice`, {
        notes: [{ message: "it adapts here first", span: before.span }],
      });
    const name = `${item.name.name}.${what}`;
    if (set.parts && what === "rank")
      return {
        kind: "rank",
        what,
        name,
        ...rankOf(state, clause, written.get(what) ?? null, set.options[what]!, options[what] as number, scope),
      };
    const option = valueAt(set.options, what) as Real;
    switch (clause.kind) {
      case "learned": {
        if (clause.weight)
          fail(
            state,
            "MHC302",
            clause.weight.span,
            `a weight pulls a rank down, and \`${what}\` is a number that the task learns`,
            { fix: "take `weight` out" },
          );
        const { from, to, at } = learnedOf(state, clause, set.name, option, valueAt(options, what) as number, scope);
        if (what === "temperature") {
          state.report(
            diagnostic(
              "MHC306",
              clause.span,
              `a temperature of \`${item.name.name}\` is redundant when it is learned: it divides free ` +
                "logits, which reach the same by growing or shrinking",
              {
                fix: "take it out, or schedule it: `adapt temperature = cosine(4, 1)`",
              },
            ),
          );
        }
        state.parameters.push(parameterAt(name, clause, Math.min(1 - OFF_END, Math.max(OFF_END, at))));
        return { kind: "learned", what, name, from, to };
      }
      case "scheduled": {
        const set = written.get(what);
        if (set)
          fail(state, "MHC302", clause.span, `\`${what}\` is set and scheduled`, {
            notes: [{ message: "it is set here", span: set }],
            fix: "take one of them out",
          });
        return { kind: "scheduled", what, name, schedule: scheduleOf(state, clause, option, scope) };
      }
      default:
        return clause satisfies never;
    }
  });
}

/** The ends, and where the option starts between them. */
function learnedOf(
  state: Elaboration,
  clause: Learned,
  set: string,
  option: Real,
  start: number,
  scope: Scope,
): { readonly from: number; readonly to: number; readonly at: number } {
  const what = clause.what.name;
  const [from, to] = [clause.from, clause.to].map((e) => optionOf(state, e, what, option, scope) as number) as [
    number,
    number,
  ];
  if (!(from < to))
    fail(state, "MHC302", clause.span, `\`${what}\` adapts from a number to a larger one, not from ${from} to ${to}`);
  if (start < from || start > to)
    fail(state, "MHC302", clause.span, `\`${what}\` is ${start} at first, and that is not in ${from} .. ${to}`, {
      fix: `write \`${set}(${what} = …)\` with a number from ${from} to ${to}`,
    });
  return { from, to, at: (start - from) / (to - from) };
}

/**
 * The ends of a rank, and its weight. All parts are there at the start: the upper end, which a rank that the page sets
 * must be.
 */
function rankOf(
  state: Elaboration,
  clause: AdaptClause,
  set: Span | null,
  option: OptionKind,
  rank: number,
  scope: Scope,
): { readonly from: number; readonly to: number; readonly weight: number } {
  if (clause.kind !== "learned")
    return fail(state, "MHC302", clause.span, "a rank is learned, not scheduled", {
      fix: "write `adapt rank in 1 .. 16 weight 1e-3`",
    });
  const [from, to] = [clause.from, clause.to].map((e) => optionOf(state, e, "rank", option, scope) as number) as [
    number,
    number,
  ];
  if (!(from < to))
    fail(state, "MHC302", clause.span, `\`rank\` adapts from a number to a larger one, not from ${from} to ${to}`);
  if (set && rank !== to)
    fail(state, "MHC302", set, `the rank is ${rank} here and adapts from ${to} down`, {
      notes: [{ message: "it adapts here", span: clause.span }],
      fix: `take one of them out, or write \`rank = ${to}\``,
    });
  if (!clause.weight)
    fail(state, "MHC503", clause.span, "nothing pulls this rank down: a loss alone never asks for a smaller one", {
      fix: `write \`adapt rank in ${from} .. ${to} weight 1e-3\`: what a part may cost for the loss to keep it`,
    });
  const weight = scalarOf(state, clause.weight!, scope).value();
  if (!(weight > 0)) fail(state, "MHC302", clause.weight!.span, `a weight is above 0, and this is ${weight}`);
  return { from, to, weight };
}

function scheduleOf(state: Elaboration, clause: Scheduled, option: Real, scope: Scope) {
  const what = clause.what.name;
  const reader = {
    number: (e: Parameters<typeof scalarOf>[1]) => scalarOf(state, e, scope).value(),
    report: state.report,
  };
  const found = readSchedule(
    clause.value,
    "options",
    reader,
    (_, e) => optionOf(state, e, what, option, scope) as number,
  );
  if (!found) throw new Abandoned();
  if (found.kind === "constant")
    fail(state, "MHC302", clause.span, `\`${what}\` does not change, so it does not adapt`, {
      fix: `set it, \`${what} = ${found.value}\` in the manifold's parentheses, or write \`adapt ${what} = cosine(…)\``,
    });
  return found as Extract<typeof found, { readonly kind: "cosine" | "linear" }>;
}

/** The number whose sigmoid is `at` at the start. */
function parameterAt(name: string, clause: Learned, at: number): Parameter {
  const start = Math.log(at / (1 - at));
  const tensor: Tensor = {
    name: clause.what.name,
    kind: "parameter",
    axes: [],
    dtype: "f32",
    range: null,
    span: clause.span,
  };
  return {
    tensor,
    name,
    start: { kind: "constant", args: [{ text: `${start}`, value: () => start }] },
    on: null,
    doc: null,
  };
}
