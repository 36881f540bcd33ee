/**
 * The one model of a page: its items in order, then what speaks of the page as a whole, which are settings from outside
 * and the sections `constrain`, `cost` and `train`. They are read in this order, since a claim is about parameters that
 * `constrain` has put on sets, and a gate of `cost` decides what a claim may count on.
 */
import type { Expr, Section } from "../../../grammar/ast.js";
import { recordOf, valueAt } from "../../../runtime/records.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";
import { resolve } from "../../graph/sizes.js";
import { inside } from "../paths.js";
import type { Claim, CostSettings, Parameter, TrainSettings, TypedModel } from "../typed.js";
import { claimOf } from "./claims.js";
import { fitSchedules } from "./adapt.js";
import { clashesOf, mergedOf } from "./clashes.js";
import { COST_OVERRIDES, readCost } from "./cost.js";
import { readItem } from "./declarations.js";
import { attempt, hasItem, manifoldsOf, type ModelDraft } from "./draft.js";
import { frozenOf, groupsOf } from "./groups.js";
import { constrained } from "./membership.js";
import { scalarOf } from "./numbers.js";
import { noteNames } from "./recurrences.js";
import { flagsOf, nameOf, type FlagTexts } from "./outside.js";
import { lookup, type Elaboration } from "./scope.js";
import { shared } from "./shares.js";
import { gatesOf, layersIn } from "./shrinkable.js";
import type { Overrides } from "./setting-table.js";
import { targeting } from "./targets.js";
import { measuredOf } from "./terms.js";
import { OVERRIDES, readTrain } from "./train.js";

/** Reads the page of a draft. Errors are reported, and the model lacks the parts that have them. */
export function readModel(draft: ModelDraft): TypedModel {
  const { state, page, sections } = draft;
  noteNames(draft.scope.defining, page.items);
  for (const item of page.items) {
    // Each item is tried by itself, so that an error in one does not hide those of the others.
    // Nothing reads a metric by its name.
    const name = "name" in item && item.kind !== "metric" ? item.name : null;
    attempt(draft, name, () => readItem(draft, item));
  }
  state.incomplete = draft.incomplete;
  const measured = measuredOf(draft);
  reportOpenSizes(state);
  state.checks.forEach((check) => attempt(draft, null, check));
  checkTraining(draft);
  const trainFlags = sections.has("train") ? flagsOf(state, "train", flagsFor(draft, "train", OVERRIDES)) : new Map();
  if (sections.has("train")) draft.used.add(FREEZE);
  const costFlags = sections.has("cost") ? flagsFor(draft, "cost", COST_OVERRIDES) : {};
  reportUnusedFlags(draft);
  const constrain = sections.get("constrain");
  const parameters = constrain ? parametersOnSets(draft, constrain) : state.parameters;
  mergedOf(parameters).forEach(state.report);
  const cost = costOf(draft, { parameters, ...measured }, costFlags);
  const claims = constrain ? claimsOf(draft, constrain, parameters, cost) : [];
  const train = trainOf(draft, parameters, trainFlags);
  checkWhole(draft);
  return {
    name: page.name.name,
    doc: page.doc,
    dims: draft.dims,
    numbers: draft.numbers,
    data: draft.data,
    inputs: draft.inputs,
    parameters,
    statements: draft.statements,
    outputs: draft.outputs,
    loss: draft.loss,
    ...measured,
    manifolds: manifoldsOf(draft),
    claims,
    cost,
    train,
  };
}

/** Sizes of blocks' axes that nothing has said. */
function reportOpenSizes({ pending, report }: Elaboration): void {
  for (const { size, span, what } of pending) {
    if (resolve(size).kind === "variable")
      report(
        diagnostic("MHC208", span, what, { fix: "pass a tensor that has this axis, or name the axes on the left" }),
      );
  }
}

/**
 * A schedule is over the steps of a run, and a rank falls during one: both need a page that trains. And a page does not
 * give names that a run has itself.
 */
function checkTraining(draft: ModelDraft): void {
  const { page, sections, state, inputs } = draft;
  const clauses = page.items.flatMap((item) => (item.kind === "manifold" ? item.adapt : []));
  const rank = clauses.find(({ what }) => what.name === "rank");
  const hasLoss = hasItem(draft, "loss");
  if (rank && !hasLoss)
    state.report(
      diagnostic("MHC503", rank.span, "a rank is pulled down while training, and this page has no loss", {
        fix: "add `loss = …` and `train { … }`, or set the rank: `low_rank(rank = 4)`",
      }),
    );
  const schedule = clauses.find(({ kind }) => kind === "scheduled");
  if (schedule && !sections.has("train"))
    state.report(
      diagnostic("MHC503", schedule.span, "a schedule is over the steps of a run, and this page does not train", {
        fix: "add `train { … }`, or give the option one value",
      }),
    );
  clashesOf({
    inputs,
    parameters: state.parameters,
    schedule: schedule?.span ?? null,
    trains: sections.has("train") && hasLoss,
    shrinks: sections.get("cost")?.clauses.some(isShrink) ?? false,
  }).forEach(state.report);
}

const isShrink = (clause: Section["clauses"][number]): boolean => {
  const word = clause.kind === "words" ? clause.words[0] : undefined;
  return word?.kind === "path" && word.parts[0].name === "shrink";
};

/** Flags that a section takes, by the settings' own names: `train.steps` -> `steps`. They count as used. */
function flagsFor({ options, used }: ModelDraft, section: string, settings: readonly string[]): FlagTexts {
  const prefix = `${section}.`;
  const flags = Object.entries(options.set).flatMap(([flag, text]) => {
    const setting = flag.startsWith(prefix) ? flag.slice(prefix.length) : null;
    return setting !== null && settings.includes(setting) ? [{ flag, setting, text }] : [];
  });
  for (const { flag } of flags) used.add(flag);
  return recordOf(flags.map(({ setting, text }) => [setting, text]));
}

/** `--set` and `--data` that name nothing of this page. */
function reportUnusedFlags(draft: ModelDraft): void {
  const { options, used, data, state, page } = draft;
  for (const name of Object.keys(options.set)) if (!used.has(name)) reportUnknownSetting(draft, name);
  for (const name of Object.keys(options.data)) {
    if (data.some((source) => source.name === name)) continue;
    const names = data.map((source) => `\`${source.name}\``);
    state.report(
      diagnostic("MHC401", page.name.span, `--data ${name}: the spec has no data \`${name}\``, {
        fix: names.length ? `it has ${names.join(", ")}` : "it has none",
      }),
    );
  }
}

function reportUnknownSetting(draft: ModelDraft, name: string): void {
  const { sections, dims, numbers, state } = draft;
  const settings = [
    ...(sections.has("train") ? [...OVERRIDES.map((setting) => `train.${setting}`), FREEZE] : []),
    ...(sections.has("cost") ? COST_OVERRIDES.map((setting) => `cost.${setting}`) : []),
  ];
  const manifolds = manifoldsOf(draft).map((manifold) => manifold.name);
  const names = [...[...dims, ...numbers].map((item) => item.name), ...manifolds, ...settings];
  // `--set rate=1e-3` leaves the section out.
  const guess = names.find((other) => other.endsWith(`.${name}`)) ?? nearest(name, names);
  const fix = guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ")}`;
  const kinds = `dim, ${numbers.length ? "number, " : ""}manifold or setting`;
  state.report(diagnostic("MHC501", nameOf(name), `the spec has no ${kinds} \`${name}\``, { fix }));
}

/** The parameters of the page, on the sets that `constrain` names and on the balls of the budgets that it shares. */
function parametersOnSets(draft: ModelDraft, constrain: Section): readonly Parameter[] {
  const { state, scope, statements } = draft;
  const trying = <T>(part: () => T): T | null => attempt(draft, null, part);
  const parameters = constrained(state, constrain, scope, trying);
  return shared({ state, scope, statements, parameters, mayGo: () => false }, constrain, trying);
}

function costOf(
  draft: ModelDraft,
  page: Pick<TypedModel, "parameters" | "terms" | "metrics">,
  flags: FlagTexts,
): CostSettings | null {
  const { state, statements, loss, outputs } = draft;
  const section = draft.sections.get("cost");
  if (!section) return null;
  const { targets, ...settings } = readCost(section, flags, state.report);
  if (targets.length && !hasItem(draft, "loss"))
    state.report(
      diagnostic("MHC503", section.name.span, "gates close while training, and this page has no loss", {
        fix: "add `loss = …` and `train { … }`, or take `shrink` out",
      }),
    );
  // On a page that is not whole, what a target seems to lack may stand in a part that was given up.
  if (draft.incomplete) return { ...settings, gates: [] };
  const layer = settings.by === "gates" ? undefined : targets.find(({ name }) => layersIn(statements, name).length > 0);
  if (layer)
    state.report(
      diagnostic(
        "MHC505",
        layer.span,
        `\`${layer.name}\` has no magnitude: a layer is worth what it does to the stream, not what its parameters are`,
        { fix: "leave it out, or choose by gates" },
      ),
    );
  const dims = draft.dims.flatMap(({ name }) => {
    const entity = lookup(draft.scope, name);
    return entity?.kind === "dim" ? [{ name, size: entity.axis.size }] : [];
  });
  const gates = attempt(draft, null, () => gatesOf(state, { statements, loss, outputs, dims, ...page }, targets));
  return { ...settings, gates: gates ?? [] };
}

function claimsOf(
  draft: ModelDraft,
  constrain: Section,
  parameters: readonly Parameter[],
  cost: CostSettings | null,
): readonly Claim[] {
  const { state, scope, statements } = draft;
  // From a page that is not whole nothing can be proved, and its own errors have been reported.
  const claiming: Elaboration = state.incomplete
    ? { ...state, report: (d) => void (d.code !== "MHC305" && state.report(d)) }
    : state;
  const mayGo = (path: string): boolean =>
    cost?.gates.some(({ kind, name }) => kind === "layer" && inside(path, name)) === true;
  const page = { state: claiming, scope, statements, parameters, mayGo };
  return constrain.clauses.flatMap((clause) => {
    const claim = clause.kind === "bound" ? attempt(draft, null, () => claimOf(page, clause)) : null;
    return claim ? [claim] : [];
  });
}

function trainOf(draft: ModelDraft, parameters: readonly Parameter[], flags: Overrides): TrainSettings | null {
  const { state, scope } = draft;
  const section = draft.sections.get("train");
  if (!section) return null;
  const targets = targeting(draft, parameters);
  const number = (e: Expr): number | null => attempt(draft, null, () => scalarOf(state, e, scope).value());
  const reader = { number, report: state.report };
  const numbers = attempt(draft, null, () => readTrain(section, flags, reader));
  if (!numbers) return null;
  fitSchedules(state, draft.page.items, scope, numbers.steps);
  const grouping = { draft, section, targets, reader: { ...reader, steps: numbers.steps } };
  return {
    ...numbers,
    groups: groupsOf(grouping, numbers.optimizer),
    frozen: frozenOf(grouping, valueAt(draft.options.set, FREEZE) ?? null),
  };
}

/** What `--set` freezes. */
const FREEZE = "train.freeze";

/** A page computes something, and one with a loss says how it is trained. */
function checkWhole(draft: ModelDraft): void {
  const { page, sections, state } = draft;
  if (!hasItem(draft, "loss") && !hasItem(draft, "output"))
    state.report(
      diagnostic("MHC213", page.name.span, `\`${page.name.name}\` has neither a loss nor an output`, {
        fix: "add `loss = …` or `output y[…] = …`",
      }),
    );
  if (hasItem(draft, "loss") && !sections.has("train"))
    state.report(
      diagnostic("MHC503", page.name.span, "a model with a loss says how it is trained", {
        fix: "add `train { batch = 12, steps = 1000, optimizer = adamw(rate = 1e-3) }`",
      }),
    );
}
