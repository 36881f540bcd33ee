/**
 * Losses that have names, and metrics. `loss balance = …` of a block is summed over all uses of the block, and
 * `loss main = …` of the page is a part of its own; the page's `loss`, and its metrics, read both by their names.
 * Statements do not, since a sum over all of the page is known when all of it has been computed.
 *
 * The page's loss may stand before the blocks whose losses it weighs, and may hold their uses itself. So where it is
 * read, the losses of all blocks that there are may be named, and whether the page uses such a block is looked at when
 * everything has been read.
 */
import type { MetricDecl, TermDecl } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { Metric, Tensor, LossTerm, Typed } from "../typed.js";
import { hasLosses, visitParts } from "../walk.js";
import { numberOn } from "./definitions.js";
import { hasItem, type ModelDraft } from "./draft.js";
import { fail, floatTensor, ownerOfLoss, type BlockLoss, type Elaboration, type Entity, type Scope } from "./scope.js";

/** The names that a loss or a metric of the page may read: those of the page, its parts, and the losses of blocks. */
export function scopeOfLosses(draft: ModelDraft): Scope {
  const { state, scope, parts, sums } = draft;
  const names = new Map<string, Entity>();
  for (const { items } of state.blocks.values())
    for (const item of items) {
      if (item.kind !== "term" || scope.names.has(item.name.name)) continue;
      const tensor = sums.get(item.name.name) ?? floatTensor("term", item.name, []);
      sums.set(tensor.name, tensor);
      names.set(tensor.name, { kind: "tensor", tensor, span: tensor.span });
    }
  for (const { tensor, span } of parts) names.set(tensor.name, { kind: "tensor", tensor, span });
  return { ...scope, parent: scope, names };
}

/** `loss main = …` of the page. */
export function readPart(draft: ModelDraft, { name, value, doc }: TermDecl): void {
  const { state, parts } = draft;
  const before = parts.find((part) => part.name === name.name);
  if (before) refuseTwice(state, name, "a loss", before.span);
  const tensor = floatTensor("term", name, []);
  const read = numberOn(state, value, scopeOfLosses(draft));
  parts.push({ kind: "part", name: name.name, tensor, doc, span: name.span, value: read });
}

/** `metric accuracy = …` of the page. */
export function readMetric(draft: ModelDraft, { name, value, doc }: MetricDecl): void {
  const { state, metrics } = draft;
  const before = metrics.find((metric) => metric.name === name.name);
  if (before) refuseTwice(state, name, "a metric", before.span);
  const losses = state.losses.length;
  const read = numberOn(state, value, scopeOfLosses(draft));
  const made = state.losses[losses];
  if (made)
    fail(
      state,
      "MHC210",
      made.use,
      `\`${made.block}\` has the loss \`${made.tensor.name}\`, and nothing of a metric is descended`,
      { fix: "define what the block makes outside of the metric, `h = …`, and read it here" },
    );
  metrics.push({ name: name.name, value: read, doc, span: name.span });
}

function refuseTwice(
  state: Elaboration,
  { name, span }: TermDecl["name"],
  what: string,
  before: TermDecl["span"],
): never {
  return fail(state, "MHC202", span, `\`${name}\` is ${what} of this page already`, {
    notes: [{ message: "it is defined here first", span: before }],
    fix: "give one of them another name",
  });
}

/** The named parts of the loss and the metrics, when all of the page has been read; what is wrong is reported. */
export function measuredOf(draft: ModelDraft): {
  readonly terms: readonly LossTerm[];
  readonly metrics: readonly Metric[];
} {
  const { state, parts, metrics } = draft;
  const sums = sumsOf(draft);
  checkNames(draft, sums);
  checkWhereMeasured(draft);
  const losses = new Set(state.losses.map(({ tensor }) => tensor));
  for (const e of expressionsOf(draft)) {
    checkUsed(draft, e);
    checkArguments(state, e, losses);
  }
  return { terms: [...sums, ...parts], metrics };
}

/** The losses of blocks that the page uses, each summed over its uses. */
function sumsOf({ state, sums }: ModelDraft): readonly LossTerm[] {
  const uses = new Map<string, BlockLoss[]>();
  for (const loss of state.losses) uses.set(loss.tensor.name, [...(uses.get(loss.tensor.name) ?? []), loss]);
  return [...uses].map(([name, all]) => {
    const { tensor, doc } = mustAt(all, 0);
    return {
      kind: "sum",
      name,
      tensor: sums.get(name) ?? { ...tensor, kind: "term" },
      doc,
      span: tensor.span,
      uses: all.map((loss) => loss.tensor),
    };
  });
}

/** A name means one thing on a page: a loss has none that something else of the page has. */
function checkNames({ state, scope, parts, metrics }: ModelDraft, sums: readonly LossTerm[]): void {
  const refuse = (term: LossTerm, span: LossTerm["span"], what: string): void =>
    state.report(
      diagnostic("MHC202", span, `\`${term.name}\` is ${what}, and a loss is called so too`, {
        notes: [{ message: "the loss", span: term.span }],
        fix: "give one of them another name",
      }),
    );
  for (const term of [...sums, ...parts]) {
    const entity = scope.names.get(term.name);
    if (entity && entity.kind !== "poison") refuse(term, entity.span, "a name of this page");
    const metric = metrics.find(({ name }) => name === term.name);
    if (metric) refuse(term, metric.span, "a metric");
  }
  for (const part of parts) {
    const sum = sums.find(({ name }) => name === part.name);
    if (sum) refuse(sum, part.span, "a loss of this page");
  }
}

/** Parts and metrics are measured with the loss. */
function checkWhereMeasured(draft: ModelDraft): void {
  if (hasItem(draft, "loss")) return;
  const { state, parts, metrics } = draft;
  const fix = "add `loss = …` and `train { … }`, or take it out";
  for (const { name, span } of parts)
    state.report(
      diagnostic("MHC503", span, `\`${name}\` is a part of the loss, and this page has no \`loss = …\``, { fix }),
    );
  for (const { name, span } of metrics)
    state.report(
      diagnostic("MHC503", span, `the metric \`${name}\` is measured where the loss is, and this page has no loss`, {
        fix,
      }),
    );
}

/** What of the page is computed beside its statements. */
const expressionsOf = ({ loss, parts, metrics, outputs }: ModelDraft): readonly Typed[] => [
  ...parts.map(({ value }) => value),
  ...(loss ? [loss] : []),
  ...metrics.map(({ value }) => value),
  ...outputs.map(({ value }) => value),
];

/** A loss of a block that the page does not use has no value. */
function checkUsed({ state, sums, incomplete }: ModelDraft, e: Typed): void {
  // What is missing may stand in a part that was given up.
  if (incomplete) return;
  visitParts(e, (part) => {
    if (part.kind !== "tensor" || sums.get(part.tensor.name) !== part.tensor) return;
    const { name } = part.tensor;
    if (state.losses.some(({ tensor }) => tensor.name === name)) return;
    const owner = ownerOfLoss(state, name, part.span.file) ?? name;
    state.report(
      diagnostic("MHC201", part.span, `\`${name}\` is a loss of the block \`${owner}\`, which is not used`, {
        fix: "use the block, or take its loss out of this one",
      }),
    );
  });
}

/** What a block with a loss is given depends on no loss: its own is a part of them. */
function checkArguments(state: Elaboration, e: Typed, losses: ReadonlySet<Tensor>): void {
  if (losses.size === 0) return;
  visitParts(e, (call) => {
    if (call.kind !== "call" || !hasLosses(call.instance)) return;
    for (const arg of call.args)
      visitParts(arg, (part) => {
        if (part.kind !== "tensor" || part.tensor.kind !== "term") return;
        state.report(
          diagnostic(
            "MHC210",
            part.span,
            `\`${call.instance.block}\` has a loss itself, so what it is given depends on none, and ` +
              `\`${part.tensor.name}\` is one`,
            { fix: "give it what the loss is made of" },
          ),
        );
      });
  });
}
