/**
 * What adapts of a manifold of the page: an option that is learned between two ends (`adapt radius in 0.5 .. 2`), which
 * is one parameter for all that is on the manifold; one that is scheduled over the run (`adapt temperature = cosine(4,
 * 1)`), which is a function of the step; or a rank, which is learned by parts that close when a weight pulls them
 * (`adapt rank in 1 .. 16 weight 1e-3`). Each is checked against the set here; what it is in the graph says
 * `settings.ts` of `src/model/lower`.
 */
import type { AdaptClause, ManifoldDecl, ModelItem } from "../../../grammar/ast.js";
import { valueAt } from "../../../runtime/records.js";
import type { Span } from "../../diagnostics/span.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { SetInstance } from "../../manifolds/registry.js";
import type { Adaptation } from "../../manifolds/set.js";
import type { RateSettings } from "../typed.js";
import { scalarOf, constantStart } from "./numbers.js";
import { fitsRun, readSchedule } from "./schedules.js";
import { fail, floatTensor, giveUp, lookup, unknownName, type Elaboration, type Scope } from "./scope.js";
import { numericOptionOf, type NumericOption } from "./set-instances.js";

type LearnedClause = Extract<AdaptClause, { readonly kind: "learned" }>;
type ScheduledClause = Extract<AdaptClause, { readonly kind: "scheduled" }>;

/** How far from the ends what adapts starts, of the way between them: at an end a sigmoid has no slope. */
const OFF_END = 0.02;

/** A manifold whose clauses are read. */
interface Adapting {
  readonly state: Elaboration;
  readonly scope: Scope;
  readonly item: ManifoldDecl;
  readonly instance: SetInstance;
  /** Where the page sets options itself, by their names. */
  readonly written: ReadonlyMap<string, Span>;
}

/** What adapts of a manifold. Its parameters are added to those of the page. */
export function adaptationsOf(
  state: Elaboration,
  item: ManifoldDecl,
  instance: SetInstance,
  scope: Scope,
): readonly Adaptation[] {
  const args = item.value.lists.flat();
  const written = new Map(args.flatMap(({ name, span }) => (name ? [[name.name, span] as const] : [])));
  const adapting: Adapting = { state, scope, item, instance, written };
  return item.adapt.map((clause, i) => adaptation(adapting, clause, item.adapt.slice(0, i)));
}

/** `before`: the clauses that stand before this one. */
function adaptation(adapting: Adapting, clause: AdaptClause, before: readonly AdaptClause[]): Adaptation {
  const { state, item, instance } = adapting;
  const { set, options } = instance;
  const { name: what, span } = clause.what;
  const adapts = set.adapts(options);
  if (!adapts.includes(what))
    unknownName(state, {
      code: "MHC302",
      span,
      message: `${set.name} cannot adapt \`${what}\`; it adapts ${adapts.join(", ") || "nothing"}`,
      name: what,
      candidates: adapts,
    });
  const first = before.find((other) => other.what.name === what);
  if (first)
    fail(state, "MHC202", span, `\`${what}\` adapts twice`, {
      notes: [{ message: "it adapts here first", span: first.span }],
    });
  // Only numbers adapt: the checks of a page's own sets and the generated tests hold every record to it.
  const option = valueAt(set.options, what) as NumericOption;
  const name = `${item.name.name}.${what}`;
  if (set.parts && what === "rank") return { kind: "rank", what, name, ...readRank(adapting, clause, option) };
  switch (clause.kind) {
    case "learned":
      return learned(adapting, clause, option, name);
    case "scheduled":
      return scheduled(adapting, clause, option, name);
    default:
      return clause satisfies never;
  }
}

/** `adapt radius in 0.5 .. 2`: one parameter, whose sigmoid is where the option is between the ends. */
function learned(adapting: Adapting, clause: LearnedClause, option: NumericOption, name: string): Adaptation {
  const { state, item, instance } = adapting;
  const what = clause.what.name;
  if (clause.weight)
    fail(
      state,
      "MHC302",
      clause.weight.span,
      `a weight pulls a rank down, and \`${what}\` is a number that the task learns`,
      { fix: "take `weight` out" },
    );
  const { from, to } = readEnds(adapting, clause, option);
  const start = numberOf(instance, what);
  if (start < from || start > to)
    fail(state, "MHC302", clause.span, `\`${what}\` is ${start} at first, and that is not in ${from} .. ${to}`, {
      fix: `write \`${instance.set.name}(${what} = …)\` with a number from ${from} to ${to}`,
    });
  if (what === "temperature")
    state.report(
      diagnostic(
        "MHC306",
        clause.span,
        `a temperature of \`${item.name.name}\` is redundant when it is learned: it divides free logits, which ` +
          "reach the same by growing or shrinking",
        { fix: "take it out, or schedule it: `adapt temperature = cosine(4, 1)`" },
      ),
    );
  const share = Math.min(1 - OFF_END, Math.max(OFF_END, (start - from) / (to - from)));
  state.parameters.push({
    tensor: floatTensor("parameter", { name: what, span: clause.span }, []),
    name,
    start: constantStart(Math.log(share / (1 - share))),
    on: null,
    doc: null,
  });
  return { kind: "learned", what, name, from, to };
}

/** The number that an option is where nothing adapts. */
const numberOf = ({ options }: SetInstance, option: string): number => valueAt(options, option) as number;

/** The two ends of a clause, the smaller first. */
function readEnds(
  { state, scope }: Adapting,
  clause: LearnedClause,
  option: NumericOption,
): { readonly from: number; readonly to: number } {
  const what = clause.what.name;
  const from = numericOptionOf(state, clause.from, what, option, scope);
  const to = numericOptionOf(state, clause.to, what, option, scope);
  if (!(from < to))
    fail(state, "MHC302", clause.span, `\`${what}\` adapts from a number to a larger one, not from ${from} to ${to}`);
  return { from, to };
}

/**
 * The ends of a rank, and its weight. All parts are there at the start: the upper end, which a rank that the page sets
 * must be.
 */
function readRank(
  adapting: Adapting,
  clause: AdaptClause,
  option: NumericOption,
): { readonly from: number; readonly to: number; readonly weight: number } {
  const { state, scope, instance, written } = adapting;
  const { span } = clause;
  if (clause.kind !== "learned")
    return fail(state, "MHC302", span, "a rank is learned, not scheduled", {
      fix: "write `adapt rank in 1 .. 16 weight 1e-3`",
    });
  const { from, to } = readEnds(adapting, clause, option);
  const set = written.get("rank");
  const rank = numberOf(instance, "rank");
  if (set && rank !== to)
    fail(state, "MHC302", set, `the rank is ${rank} here and adapts from ${to} down`, {
      notes: [{ message: "it adapts here", span }],
      fix: `take one of them out, or write \`rank = ${to}\``,
    });
  if (!clause.weight)
    return fail(state, "MHC503", span, "nothing pulls this rank down: a loss alone never asks for a smaller one", {
      fix: `write \`adapt rank in ${from} .. ${to} weight 1e-3\`: what a part may cost for the loss to keep it`,
    });
  const weight = scalarOf(state, clause.weight, scope).value();
  if (!(weight > 0)) fail(state, "MHC302", clause.weight.span, `a weight is above 0, and this is ${weight}`);
  return { from, to, weight };
}

/** `adapt temperature = cosine(4, 1)`: a function of the step. */
function scheduled(adapting: Adapting, clause: ScheduledClause, option: NumericOption, name: string): Adaptation {
  const { state, written } = adapting;
  const what = clause.what.name;
  const set = written.get(what);
  if (set)
    fail(state, "MHC302", clause.span, `\`${what}\` is set and scheduled`, {
      notes: [{ message: "it is set here", span: set }],
      fix: "take one of them out",
    });
  return { kind: "scheduled", what, name, schedule: scheduleOf(adapting, clause, option) };
}

function scheduleOf(
  { state, scope }: Adapting,
  { what: { name }, value, span }: ScheduledClause,
  option: NumericOption,
): Exclude<RateSettings, { readonly kind: "constant" }> {
  const reader = { number: (e: typeof value) => scalarOf(state, e, scope).value(), report: state.report };
  const schedule = readSchedule(value, "options", reader, (_, e) => numericOptionOf(state, e, name, option, scope));
  if (!schedule) return giveUp();
  return schedule.kind === "constant"
    ? fail(state, "MHC302", span, `\`${name}\` does not change, so it does not adapt`, {
        fix:
          `set it, \`${name} = ${schedule.value}\` in the manifold's parentheses, or write ` +
          `\`adapt ${name} = cosine(…)\``,
      })
    : schedule;
}

/** Reports schedules of options that do not fit into a run of so many steps, which is known once `train` is read. */
export function fitSchedules(state: Elaboration, items: readonly ModelItem[], scope: Scope, steps: number): void {
  for (const item of items) {
    const entity = item.kind === "manifold" ? lookup(scope, item.name.name) : null;
    if (item.kind !== "manifold" || entity?.kind !== "manifold") continue;
    for (const { what, value } of item.adapt.flatMap((clause) => (clause.kind === "scheduled" ? [clause] : []))) {
      const adaptation = entity.manifold.adapt.find((other) => other.what === what.name);
      if (value.kind === "call" && adaptation?.kind === "scheduled")
        fitsRun(value, adaptation.schedule, { number: () => null, report: state.report, steps });
    }
  }
}
