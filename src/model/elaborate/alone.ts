/**
 * Blocks of a file without a model, checked without a use: names, numbers of axes, sizes that cannot agree. What a use
 * would say is assumed: every size is one that nothing is known of, a wrapped block makes whatever is expected of it,
 * and where a block is right for some set, some tensor of whole numbers or some sizes that are equal, it is right.
 */
import type { Block, BlockItem, File, Formal, Ident, Path } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { atom, variable } from "../../graph/sizes.js";
import type { ConstraintSet } from "../../manifolds/registry.js";
import type { Axis, Tensor } from "../typed.js";
import { plainKind } from "./arguments.js";
import { dimsIn } from "./choices.js";
import { constantStart } from "./numbers.js";
import { Abandoned, childScope, type DataArg, type Elaboration, type Entity, type Scope } from "./scope.js";
import { defaultsOf } from "./set-instances.js";

/** What is assumed of a use. */
interface Assumption {
  /** The set that a manifold is; null where the block takes none. */
  readonly set: ConstraintSet | null;
  /** Tensors of the header that hold whole numbers. */
  readonly whole: readonly Formal[];
  /** Whether sizes that nothing is known of may turn out to be equal. */
  readonly open: boolean;
  /** What conditions are that no dim decides. */
  readonly taken: boolean;
}

/** Checks the blocks of a file, and reports what is wrong with them. Returns how many there are. */
export function checkBlocks(state: Elaboration, { items }: File): number {
  const blocks = items.filter((item): item is Block => item.kind === "block" || item.kind === "connection");
  for (const block of blocks)
    for (const taken of hasChoice(block.items) ? [true, false] : [true]) checkBlock(state, block, taken);
  return blocks.length;
}

const hasChoice = (items: readonly BlockItem[]): boolean => items.some(({ kind }) => kind === "if");

/** Checks a block under one assumption after the other; reports the fewest errors, if none leaves it without. */
function checkBlock(state: Elaboration, block: Block, taken: boolean): void {
  let fewest: readonly Diagnostic[] | null = null;
  for (const assumption of assumptionsOf(state, block, taken)) {
    const errors = errorsUnder(state, block, assumption);
    if (errors.length === 0) return;
    if (!fewest || errors.length < fewest.length) fewest = errors;
  }
  fewest?.forEach(state.report);
}

function assumptionsOf({ sets }: Elaboration, { config, data }: Block, taken: boolean): readonly Assumption[] {
  const tensors = data.filter(({ axes }) => axes !== null);
  const takesSet = [...config, ...data].some(({ type }) => type?.name === "manifold");
  const wholes = [[], ...tensors.map((tensor) => [tensor]), ...(tensors.length > 1 ? [tensors] : [])];
  return (takesSet ? Object.values(sets) : [null]).flatMap((set) =>
    wholes.flatMap((whole) => [false, true].map((open) => ({ set, whole, open, taken }))),
  );
}

/** What is wrong with a block under an assumption. */
function errorsUnder(state: Elaboration, block: Block, assumption: Assumption): readonly Diagnostic[] {
  const errors: Diagnostic[] = [];
  const trial: Elaboration = {
    ...state,
    report: (d) => void errors.push(d),
    parameters: [],
    pending: [],
    uses: [],
    around: [],
    assumed: assumption.taken,
  };
  try {
    use(trial, block, assumption);
  } catch (error) {
    if (!(error instanceof Abandoned)) throw error;
  }
  return errors;
}

/** Uses a block as a page would that says no more than is assumed. */
function use(state: Elaboration, decl: Block, assumption: Assumption): void {
  const scope = childScope(null, "");
  const sizes = new Map<string, Axis>();
  const axisOf = (ident: Ident): Axis => {
    const before = sizes.get(ident.name);
    if (before) return before;
    const axis = { name: ident.name, size: assumption.open ? variable(ident.name) : atom(ident.name, null) };
    sizes.set(ident.name, axis);
    return axis;
  };
  const written = (formal: Formal, list: "config" | "data"): Path => {
    const { name, span } = formal.name;
    const kind = plainKind(state, formal, decl, list);
    scope.names.set(name, entityFor(kind, formal.name, assumption, axisOf, scope));
    return { kind: "path", parts: [formal.name], span };
  };
  const config = decl.config
    .filter((formal) => !formal.axes && !formal.default)
    .map((formal) => ({ name: formal.name, value: written(formal, "config"), span: formal.span }));
  const data = decl.data
    .filter((formal) => formal.axes ?? !formal.default)
    .map((formal): DataArg => {
      if (formal.axes) return tensorFor(formal, formal.axes.map(axisOf), assumption);
      const arg = { name: null, value: written(formal, "data"), span: formal.span };
      const entity = scope.names.get(formal.name.name);
      return entity?.kind === "block"
        ? { kind: "block", block: entity.block, span: formal.span }
        : { kind: "written", arg, scope };
    });
  const made = dimsIn(decl.items);
  const expected =
    decl.result.axes?.map((ident) =>
      made.has(ident.name) ? { name: ident.name, size: variable(ident.name) } : axisOf(ident),
    ) ?? null;
  const { span } = decl.name;
  const block = { decl, config, beside: [], scope, path: null, wrapped: false, span };
  state.readers.instantiate(state, { block, data, caller: scope, expected, as: null, span });
}

function tensorFor(formal: Formal, axes: readonly Axis[], { whole }: Assumption): DataArg {
  const { name, span } = formal.name;
  const isWhole = whole.includes(formal);
  const tensor: Tensor = {
    name,
    kind: "input",
    axes,
    dtype: isWhole ? "u32" : "f32",
    range: isWhole ? variable(`values of ${name}`) : null,
    span,
  };
  return { kind: "tensor", value: { kind: "tensor", tensor, axes, span }, span };
}

function entityFor(
  kind: ReturnType<typeof plainKind>,
  ident: Ident,
  { set }: Assumption,
  axisOf: (ident: Ident) => Axis,
  scope: Scope,
): Entity {
  const { name, span } = ident;
  switch (kind) {
    case "dim":
    case "dim or number":
      return { kind: "dim", axis: { name, size: axisOf(ident).size }, span };
    case "number":
      return { kind: "number", scalar: { text: name, value: () => Number.NaN }, span };
    case "start":
      return { kind: "start", start: constantStart(0), span };
    case "manifold":
      return set
        ? { kind: "manifold", name, manifold: { set, options: defaultsOf(set), adapt: [] }, span }
        : { kind: "poison", span };
    case "block":
      return { kind: "block", block: anyBlock(ident, scope), span };
    default:
      return kind satisfies never;
  }
}

/** A block of which nothing is known. */
function anyBlock(name: Ident, scope: Scope): Extract<Entity, { readonly kind: "block" }>["block"] {
  const span: Span = name.span;
  const value: Path = { kind: "path", parts: [name], span };
  const decl: Block = {
    kind: "block",
    name,
    config: [],
    data: [],
    items: [],
    result: { axes: null, value, span },
    doc: null,
    span,
  };
  return { decl, config: [], beside: [], scope, path: null, wrapped: false, anything: true, span };
}
