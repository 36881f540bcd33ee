/**
 * The `cost` section: what counts (`device laptop`), what a share of the dense model's cost is worth (`flops weight
 * 0.1`), what a step may cost at the end (`energy <= 50%`), and what may be switched off to get there (`shrink heads,
 * mlp.hidden, layers within 20%`), by gates that are learned or, as others do it, `by magnitude`. `--set
 * cost.energy=30%` goes through the same checks.
 */
import type { Clause, NumberLiteral, Path, Section } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { Target } from "./shrinkable.js";
import { valueOfFlag } from "./outside.js";
import { MEASURES, type CostSettings, type Measure } from "../typed.js";

/** What `--set cost.…` takes: a device, budgets, and the part of the steps in which gates close. */
export const COST_OVERRIDES: readonly string[] = ["device", ...MEASURES, "within", "by"];

/** Gates are found by the targets once the page is whole. */
export type ReadCost = Omit<CostSettings, "gates"> & { readonly targets: readonly Target[] };

/** The part of the steps in which gates close when the page does not say. */
const WITHIN = 0.2;

const isMeasure = (name: string): name is Measure => (MEASURES as readonly string[]).includes(name);
const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

export function readCost(
  section: Section,
  overrides: Readonly<Record<string, string>>,
  tell: (d: Diagnostic) => void,
): ReadCost {
  let whole = true;
  const report = (d: Diagnostic): void => {
    whole = false;
    tell(d);
  };
  const weights: { measure: Measure; weight: number }[] = [];
  const budgets: { measure: Measure; share: number; span: Span }[] = [];
  const targets: Target[] = [];
  let device: CostSettings["device"] = null;
  const within: { share: number; span: Span }[] = [];
  const ways: { by: CostSettings["by"]; span: Span }[] = [];
  const twice = (name: string, span: Span): void => report(diagnostic("MHC202", span, `\`${name}\` stands twice`));
  const unknown = (name: string, span: Span): void => {
    const words = [...MEASURES, "device", "shrink"];
    const guess = nearest(name, words);
    report(
      diagnostic("MHC501", span, `\`${name}\` is not a clause of \`cost\``, {
        fix: guess
          ? `did you mean \`${guess}\`?`
          : "there are `device laptop`, `energy <= 50%`, `flops weight 0.1` and `shrink heads, layers`; of " +
            "measures, flops, bytes, energy and time",
      }),
    );
  };

  for (const clause of section.clauses) {
    if (clause.kind === "bound") bound(clause);
    else if (clause.kind === "words") words(clause);
    else
      report(
        diagnostic(
          "MHC501",
          clause.span,
          "a clause of `cost` is `device laptop`, `energy <= 50%`, `flops weight 0.1` or `shrink heads, layers`",
        ),
      );
  }
  for (const [name, text] of Object.entries(overrides)) override(name, text);
  // Of what was wrong it is not known what it would have asked.
  if (whole && targets.length && !weights.length && !budgets.length)
    report(
      diagnostic(
        "MHC503",
        section.name.span,
        "nothing asks for less: gates close when a budget or a weight pulls them",
        { fix: "add `energy <= 50%`, or `flops weight 0.1`" },
      ),
    );
  const asked = budgets[0]?.span ?? (weights.length ? section.name.span : null);
  if (whole && !targets.length && asked)
    report(
      diagnostic("MHC503", asked, "nothing may be switched off, so what a step costs cannot change", {
        fix: "add `shrink heads, mlp.hidden, layers`, or what else may go",
      }),
    );
  if (whole && within[0] && !targets.length)
    report(diagnostic("MHC503", within[0].span, "`within` says when what is shrunk closes, and nothing is"));
  const way = ways.at(-1);
  if (whole && way?.by === "magnitude") {
    if (weights.length)
      report(
        diagnostic(
          "MHC502",
          way.span,
          "how large a unit is says nothing of what it is worth, so a weight cannot be held against it",
          { fix: "give a budget: `energy <= 50%`" },
        ),
      );
  }
  return {
    device,
    weights,
    budgets,
    targets,
    by: way?.by ?? "gates",
    within: within.at(-1)?.share ?? WITHIN,
    span: section.name.span,
  };

  function bound(clause: Extract<Clause, { readonly kind: "bound" }>): void {
    const { left, right } = clause;
    const name = left.kind === "path" ? dotted(left) : "";
    if (!isMeasure(name))
      return name
        ? unknown(name, left.span)
        : report(
            diagnostic("MHC501", left.span, "a budget is of flops, bytes, energy or time", {
              fix: "write `energy <= 50%`",
            }),
          );
    if (clause.monitored || clause.shared)
      return report(
        diagnostic("MHC502", clause.span, "a budget is met, neither monitored nor shared", {
          fix: `write \`${name} <= ${right.kind === "number" ? right.text : "50%"}\``,
        }),
      );
    const share = right.kind === "number" && right.percent ? right.value : null;
    if (share === null)
      return report(
        diagnostic("MHC502", right.span, "a budget is a share of the dense model's cost", {
          fix: `write \`${name} <= 50%\``,
        }),
      );
    budget(name, share, clause.span);
  }

  function budget(measure: Measure, share: number, span: Span): void {
    if (!(share > 0 && share < 1))
      return report(diagnostic("MHC502", span, "a budget is above 0% and below 100%, which is the dense model's cost"));
    if (budgets.some((one) => one.measure === measure)) return twice(measure, span);
    budgets.push({ measure, share, span });
  }

  function words({ words: [first, ...rest], span }: Extract<Clause, { readonly kind: "words" }>): void {
    const head = first?.kind === "path" ? dotted(first) : "";
    const [second, third] = rest;
    if (head === "device") {
      if (device) return twice("device", span);
      if (rest.length !== 1 || second?.kind !== "path")
        return report(
          diagnostic("MHC502", span, "`device` takes the name of a profile", { fix: "write `device laptop`" }),
        );
      device = { name: dotted(second), span: second.span };
    } else if (head === "shrink") shrink(rest);
    else if (isMeasure(head)) {
      if (rest.length !== 2 || second?.kind !== "path" || dotted(second) !== "weight" || third?.kind !== "number")
        return report(
          diagnostic("MHC502", span, `\`${head}\` has a budget or a weight`, {
            fix: `write \`${head} <= 50%\` or \`${head} weight 0.1\``,
          }),
        );
      if (!(third.value > 0))
        return report(diagnostic("MHC502", third.span, `a weight is above 0, and this is ${third.text}`));
      if (weights.some(({ measure }) => measure === head)) return twice(`${head} weight`, span);
      weights.push({ measure: head, weight: third.value });
    } else unknown(head, first!.span);
  }

  function shrink(items: readonly (Path | NumberLiteral)[]): void {
    const word = (item: Path | NumberLiteral | undefined): string | null =>
      item?.kind === "path" ? dotted(item) : null;
    const end = items.findIndex((item) => word(item) === "within" || word(item) === "by");
    for (const item of end < 0 ? items : items.slice(0, end)) {
      if (item.kind !== "path")
        report(
          diagnostic(
            "MHC502",
            item.span,
            "what may be shrunk goes by its name: a `repeat`, a dim, or an axis of a block",
            { fix: "write `shrink heads, mlp.hidden, layers`" },
          ),
        );
      else if (targets.some(({ name }) => name === dotted(item))) twice(dotted(item), item.span);
      else targets.push({ name: dotted(item), span: item.span });
    }
    if (end < 0) return;
    for (let i = end; i < items.length; i += 2) {
      const [head, value] = [items[i]!, items[i + 1]];
      if (word(head) === "within") {
        if (value?.kind !== "number" || !value.percent)
          return report(
            diagnostic("MHC502", head.span, "`within` takes a share of the steps", { fix: "write `within 20%`" }),
          );
        if (within.length) return twice("within", head.span);
        period(value.value, value.span);
      } else if (word(head) === "by") {
        if (ways.length) return twice("by", head.span);
        if (!manner(word(value) ?? "", (value ?? head).span)) return;
      } else
        return report(diagnostic("MHC501", head.span, "after what may be shrunk come `within 20%` and `by magnitude`"));
    }
  }

  function manner(by: string, span: Span): boolean {
    if (by === "gates" || by === "magnitude") return ways.push({ by, span }) > 0;
    report(diagnostic("MHC502", span, `units are chosen by \`gates\`, which are learned, or by \`magnitude\``));
    return false;
  }

  function period(share: number, span: Span): void {
    if (!(share > 0 && share < 1))
      return report(diagnostic("MHC502", span, "gates close within a part of the steps, above 0% and below 100%"));
    within.push({ share, span });
  }

  function override(name: string, text: string): void {
    const span = valueOfFlag(`cost.${name}`, text);
    if (name === "device") return void (device = { name: text, span });
    if (name === "by") return void manner(text, span);
    const found = /^(\d+(?:\.\d+)?)%$/.exec(text);
    if (!found)
      return report(
        diagnostic("MHC502", span, "a share is written in percent", { fix: `write \`--set cost.${name}=50%\`` }),
      );
    const share = Number(found[1]) / 100;
    if (name === "within") return period(share, span);
    const measure = name as Measure;
    budgets.splice(0, budgets.length, ...budgets.filter((one) => one.measure !== measure));
    budget(measure, share, span);
  }
}
