/**
 * A page to its typed model. Items are taken in order; what is wrong is reported at its place, its name is poisoned so
 * that it causes no second error, and the rest of the page is still checked. Nothing here knows the data: sizes that
 * come from it stay symbolic unless `facts` are given.
 */
import type { File, ModelDecl } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { merged, recordOf } from "../../../runtime/records.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";
import { sets } from "../../manifolds/registry.js";
import type { TypedModel } from "../typed.js";
import { checkBlocks } from "./alone.js";
import { newDraft, type ElaborateOptions } from "./draft.js";
import { expression } from "./expressions.js";
import { instantiate } from "./instances.js";
import { tooLarge } from "./limits.js";
import { readModel } from "./model.js";
import { wrongAmount } from "./randomness.js";
import type { Elaboration } from "./scope.js";
import type { Facts } from "./sources.js";
import { visibleBlocks } from "./visible.js";

export type { ElaborateOptions, Facts };

/** What a page means, and what is wrong with it. */
export interface Elaborated {
  /** Null when there is an error among the diagnostics, and for a file of blocks alone. */
  readonly model: TypedModel | null;
  readonly diagnostics: readonly Diagnostic[];
  /** How many blocks a file has that has no model: these are checked as far as they can be without a use. */
  readonly blocks?: number;
}

/** Elaborates the one model of `files[0]`, with the blocks of all files. */
export function elaborate(files: readonly File[], options: ElaborateOptions): Elaborated {
  const page = mustAt(files, 0);
  const diagnostics: Diagnostic[] = [];
  const uses: Elaboration["uses"] = [];
  const report = (d: Diagnostic): void => addOnce(diagnostics, shownOnPage(d, page.name, uses));
  const visible = visibleBlocks(files, report);
  const state: Elaboration = {
    readers: { expression, instantiate },
    blocks: visible.page,
    blocksOf: visible.files,
    sets: merged(sets, recordOf((options.sets ?? []).map((set) => [set.name, set]))),
    parameters: [],
    losses: [],
    sites: new Map(),
    report,
    uses,
    around: [],
    assumed: null,
    pending: [],
    checks: [],
    incomplete: false,
  };
  if (isOfBlocks(page)) return { model: null, diagnostics, blocks: checkBlocks(state, page) };
  const declared = theModel(page, report);
  if (!declared) return { model: null, diagnostics };
  const model = readModel(newDraft(state, declared, options));
  const large = hasError(diagnostics) ? null : tooLarge(model);
  if (large) report(large);
  const isKnown = options.facts !== null || model.data.length === 0;
  const wrong = hasError(diagnostics) || !isKnown ? null : wrongAmount(model);
  if (wrong) report(wrong);
  return { model: hasError(diagnostics) ? null : model, diagnostics };
}

const hasError = (diagnostics: readonly Diagnostic[]): boolean =>
  diagnostics.some(({ severity }) => severity === "error");

/**
 * What goes wrong inside a block of the library is shown where the page uses it; the library's line is a note. `uses`:
 * the instances that are being made.
 */
function shownOnPage(d: Diagnostic, page: string, uses: Elaboration["uses"]): Diagnostic {
  if (d.span.file === page) return d;
  const use = uses.findLast(({ span }) => span.file === page);
  const innermost = uses.at(-1);
  if (!use || !innermost) return d;
  const notes = [{ message: `in \`${innermost.block}\`, here`, span: d.span }, ...d.notes];
  return { ...d, span: use.span, notes };
}

/** One error a place is enough: a block that is wrong is instantiated many times. */
function addOnce(diagnostics: Diagnostic[], d: Diagnostic): void {
  const isSaid = diagnostics.some(
    ({ span, message }) => span.file === d.span.file && span.start === d.span.start && message === d.message,
  );
  if (!isSaid) diagnostics.push(d);
}

/** Whether a file has blocks and no model. */
const isOfBlocks = ({ items }: File): boolean =>
  items.some(({ kind }) => kind === "block" || kind === "connection") && !items.some(({ kind }) => kind === "model");

/** The one model of a file; null, with an error, when it has none or several. */
function theModel({ name, items }: File, report: (d: Diagnostic) => void): ModelDecl | null {
  const [model, second] = items.filter((item): item is ModelDecl => item.kind === "model");
  if (model && !second) return model;
  report(
    second
      ? diagnostic("MHC216", second.name.span, "a file holds one model, and this is a second one", {
          fix: "put it in a file of its own",
        })
      : diagnostic("MHC216", { file: name, start: 0, end: 1 }, "there is no model in this file", {
          fix: "begin with `model Name { … }`",
        }),
  );
  return null;
}
