/**
 * The `cost` section: what counts (`device laptop`), what a share of the dense model's cost is worth (`flops weight
 * 0.1`), what a step may cost at the end (`energy <= 50%`), and what may be switched off to get there (`shrink heads,
 * mlp.hidden, layers within 20%`), by gates that are learned or, as others do it, `by magnitude`. `--set
 * cost.energy=30%` goes through the same checks.
 */
import type { Clause, NumberLiteral, Path, Section } from "../../../grammar/ast.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic, type Code } from "../../diagnostics/table.js";
import { MEASURES, type CostSettings, type Measure } from "../typed.js";
import { valueOfFlag, type FlagTexts } from "./outside.js";
import type { ShrinkTarget } from "./shrinkable.js";
import { dotted, onlyInTrain, type BoundClause, type WordsClause } from "./syntax.js";

/** What `--set cost.…` takes: a device, budgets, and when and by what units are chosen. */
export const COST_OVERRIDES: readonly string[] = ["device", ...MEASURES, "within", "by"];

/** The section as it is read first: the gates are found by the targets once the page is whole. */
export type ReadCost = Omit<CostSettings, "gates"> & { readonly targets: readonly ShrinkTarget[] };

/** The part of the steps in which gates close when the page does not say. */
const WITHIN = 0.2;

const measureNamed = (name: string): Measure | undefined => MEASURES.find((measure) => measure === name);

/** The section while it is read. */
interface CostDraft {
  readonly weights: { measure: Measure; weight: number }[];
  budgets: { measure: Measure; share: number; span: Span }[];
  readonly targets: ShrinkTarget[];
  device: CostSettings["device"];
  /** The last one holds: that of a flag stands after that of the page. */
  readonly within: { share: number; span: Span }[];
  by: { way: CostSettings["by"]; span: Span } | null;
  /** Whether nothing was wrong so far. */
  whole: boolean;
  readonly tell: (d: Diagnostic) => void;
}

/** Reads the section, and what `--set` says in place of it. */
export function readCost(section: Section, overrides: FlagTexts, tell: (d: Diagnostic) => void): ReadCost {
  const draft: CostDraft = {
    weights: [],
    budgets: [],
    targets: [],
    device: null,
    within: [],
    by: null,
    whole: true,
    tell,
  };
  for (const clause of section.clauses) readClause(draft, clause);
  for (const [name, text] of Object.entries(overrides)) override(draft, name, text);
  // A clause that was wrong may have been what seems to be missing.
  if (draft.whole) checkWhole(draft, section.name.span);
  const { device, weights, budgets, targets } = draft;
  return {
    device,
    weights,
    budgets,
    targets,
    by: draft.by?.way ?? "gates",
    within: draft.within.at(-1)?.share ?? WITHIN,
    span: section.name.span,
  };
}

function report(draft: CostDraft, code: Code, span: Span, message: string, fix: string | null = null): void {
  draft.whole = false;
  draft.tell(diagnostic(code, span, message, { fix }));
}

const reportTwice = (draft: CostDraft, name: string, span: Span): void =>
  report(draft, "MHC202", span, `\`${name}\` stands twice`);

/** What may be switched off goes with what asks for it: the first thing that is missing is reported. */
function checkWhole(draft: CostDraft, section: Span): void {
  const { weights, budgets, targets, by } = draft;
  const asking = budgets[0]?.span ?? (weights.length ? section : null);
  const [within] = draft.within;
  if (targets.length && !asking)
    report(
      draft,
      "MHC503",
      section,
      "nothing asks for less: gates close when a budget or a weight pulls them",
      "add `energy <= 50%`, or `flops weight 0.1`",
    );
  else if (!targets.length && asking)
    report(
      draft,
      "MHC503",
      asking,
      "nothing may be switched off, so what a step costs cannot change",
      "add `shrink heads, mlp.hidden, layers`, or what else may go",
    );
  else if (!targets.length && within)
    report(draft, "MHC503", within.span, "`within` says when what is shrunk closes, and nothing is");
  else if (by?.way === "magnitude" && weights.length)
    report(
      draft,
      "MHC502",
      by.span,
      "how large a unit is says nothing of what it is worth, so a weight cannot be held against it",
      "give a budget: `energy <= 50%`",
    );
}

function readClause(draft: CostDraft, clause: Clause): void {
  if (clause.kind === "bound") readBudget(draft, clause);
  else if (clause.kind === "words") readWords(draft, clause);
  else
    report(
      draft,
      "MHC501",
      clause.span,
      onlyInTrain(clause) ??
        "a clause of `cost` is `device laptop`, `energy <= 50%`, `flops weight 0.1` or `shrink heads, layers`",
    );
}

function reportUnknown(draft: CostDraft, name: string, span: Span): void {
  const guess = nearest(name, [...MEASURES, "device", "shrink"]);
  report(
    draft,
    "MHC501",
    span,
    `\`${name}\` is not a clause of \`cost\``,
    guess
      ? `did you mean \`${guess}\`?`
      : "there are `device laptop`, `energy <= 50%`, `flops weight 0.1` and `shrink heads, layers`; of " +
          "measures, flops, bytes, energy and time",
  );
}

/** `energy <= 50%` */
function readBudget(draft: CostDraft, { left, right, monitored, shared, span }: BoundClause): void {
  const name = left.kind === "path" ? dotted(left) : "";
  const measure = measureNamed(name);
  if (!measure)
    return name
      ? reportUnknown(draft, name, left.span)
      : report(draft, "MHC501", left.span, "a budget is of flops, bytes, energy or time", "write `energy <= 50%`");
  if (monitored || shared)
    return report(
      draft,
      "MHC502",
      span,
      "a budget is met, neither monitored nor shared",
      `write \`${name} <= ${right.kind === "number" ? right.text : "50%"}\``,
    );
  if (right.kind !== "number" || !right.percent)
    return report(
      draft,
      "MHC502",
      right.span,
      "a budget is a share of the dense model's cost",
      `write \`${name} <= 50%\``,
    );
  addBudget(draft, measure, right.value, span);
}

function addBudget(draft: CostDraft, measure: Measure, share: number, span: Span): void {
  if (!(share > 0 && share < 1))
    return report(draft, "MHC502", span, "a budget is above 0% and below 100%, which is the dense model's cost");
  if (draft.budgets.some((budget) => budget.measure === measure)) return reportTwice(draft, measure, span);
  draft.budgets.push({ measure, share, span });
}

/** `device laptop`, `flops weight 0.1` or `shrink heads, layers` */
function readWords(draft: CostDraft, { words: [first, ...values], span }: WordsClause): void {
  const head = wordOf(first) ?? "";
  const measure = measureNamed(head);
  if (head === "device") readDevice(draft, values, span);
  else if (head === "shrink") readShrink(draft, values);
  else if (measure) readWeight(draft, measure, values, span);
  else reportUnknown(draft, head, first?.span ?? span);
}

type Word = Path | NumberLiteral;

/** A word of a clause; null for a number, or where there is nothing. */
const wordOf = (word: Word | undefined): string | null => (word?.kind === "path" ? dotted(word) : null);

function readDevice(draft: CostDraft, values: readonly Word[], span: Span): void {
  if (draft.device) return reportTwice(draft, "device", span);
  const [profile] = values;
  if (values.length !== 1 || profile?.kind !== "path")
    return report(draft, "MHC502", span, "`device` takes the name of a profile", "write `device laptop`");
  draft.device = { name: dotted(profile), span: profile.span };
}

function readWeight(draft: CostDraft, measure: Measure, values: readonly Word[], span: Span): void {
  const [word, number] = values;
  if (values.length !== 2 || wordOf(word) !== "weight" || number?.kind !== "number")
    return report(
      draft,
      "MHC502",
      span,
      `\`${measure}\` has a budget or a weight`,
      `write \`${measure} <= 50%\` or \`${measure} weight 0.1\``,
    );
  if (!(number.value > 0))
    return report(draft, "MHC502", number.span, `a weight is above 0, and this is ${number.text}`);
  if (draft.weights.some((weight) => weight.measure === measure)) return reportTwice(draft, `${measure} weight`, span);
  draft.weights.push({ measure, weight: number.value });
}

/** `shrink heads, mlp.hidden, layers within 20% by magnitude`: the targets, then when and by what they are chosen. */
function readShrink(draft: CostDraft, words: readonly Word[]): void {
  const end = words.findIndex((word) => wordOf(word) === "within" || wordOf(word) === "by");
  for (const word of end < 0 ? words : words.slice(0, end)) readTarget(draft, word);
  if (end >= 0) readManner(draft, words.slice(end));
}

function readTarget(draft: CostDraft, word: Word): void {
  const name = wordOf(word);
  if (name === null)
    report(
      draft,
      "MHC502",
      word.span,
      "what may be shrunk goes by its name: a `repeat`, a dim, or an axis of a block",
      "write `shrink heads, mlp.hidden, layers`",
    );
  else if (draft.targets.some((target) => target.name === name)) reportTwice(draft, name, word.span);
  else draft.targets.push({ name, span: word.span });
}

/** `within 20%` and `by magnitude`, in any order. Stops at the first thing that is wrong. */
function readManner(draft: CostDraft, [head, value, ...further]: readonly Word[]): void {
  if (!head) return;
  const name = wordOf(head);
  if (name === "within") {
    if (value?.kind !== "number" || !value.percent)
      return report(draft, "MHC502", head.span, "`within` takes a share of the steps", "write `within 20%`");
    if (draft.within.length) return reportTwice(draft, "within", head.span);
    addPeriod(draft, value.value, value.span);
  } else if (name === "by") {
    if (draft.by) return reportTwice(draft, "by", head.span);
    setWay(draft, wordOf(value) ?? "", (value ?? head).span);
    if (!draft.by) return;
  } else return report(draft, "MHC501", head.span, "after what may be shrunk come `within 20%` and `by magnitude`");
  readManner(draft, further);
}

/** What says which units are needed least. */
function setWay(draft: CostDraft, way: string, span: Span): void {
  if (way === "gates" || way === "magnitude") draft.by = { way, span };
  else report(draft, "MHC502", span, "units are chosen by `gates`, which are learned, or by `magnitude`");
}

/** The part of the steps in which gates close. */
function addPeriod(draft: CostDraft, share: number, span: Span): void {
  if (share > 0 && share < 1) draft.within.push({ share, span });
  else report(draft, "MHC502", span, "gates close within a part of the steps, above 0% and below 100%");
}

/** A flag in place of what is written. */
function override(draft: CostDraft, name: string, text: string): void {
  const span = valueOfFlag(`cost.${name}`, text);
  if (name === "device") {
    draft.device = { name: text, span };
    return;
  }
  if (name === "by") return setWay(draft, text, span);
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1];
  if (percent === undefined)
    return report(draft, "MHC502", span, "a share is written in percent", `write \`--set cost.${name}=50%\``);
  const share = Number(percent) / 100;
  const measure = measureNamed(name);
  // Flags are those of `COST_OVERRIDES`, so one that is not a measure is `within`.
  if (!measure) return addPeriod(draft, share, span);
  draft.budgets = draft.budgets.filter((budget) => budget.measure !== measure);
  addBudget(draft, measure, share, span);
}
