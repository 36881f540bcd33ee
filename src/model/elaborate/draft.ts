/**
 * The typed model while its page is being read. A part that is wrong is given up after its error has been reported, its
 * name is poisoned so that it causes no second error, and the rest of the page is still read.
 */
import type { Ident, ModelDecl, ModelItem, Section } from "../../../grammar/ast.js";
import type { ConstraintSet } from "../../manifolds/registry.js";
import type { DataSource, Dim, LossTerm, Metric, NamedNumber, Statement, Tensor, Typed, TypedModel } from "../typed.js";
import { Abandoned, childScope, type Elaboration, type Scope } from "./scope.js";
import type { Facts } from "./sources.js";

/** What comes from outside of the page. */
export interface ElaborateOptions {
  /** Dims and settings from outside: `width` -> `256`, `train.steps` -> `50`. */
  readonly set: Readonly<Record<string, string>>;
  /** Locations from outside, by the name of the data source. */
  readonly data: Readonly<Record<string, string>>;
  /** What only the data can tell; null before it has been read. */
  readonly facts: Facts | null;
  /** Sets of the user's own, beside those of the registry. */
  readonly sets?: readonly ConstraintSet[];
}

/** The typed model while its page is being read. */
export interface ModelDraft {
  readonly state: Elaboration;
  readonly page: ModelDecl;
  readonly options: ElaborateOptions;
  readonly scope: Scope;
  readonly dims: Dim[];
  readonly numbers: NamedNumber[];
  readonly data: DataSource[];
  readonly inputs: Tensor[];
  readonly statements: Statement[];
  readonly outputs: TypedModel["outputs"][number][];
  /** Names of `--set` that were met. */
  readonly used: Set<string>;
  /** `constrain`, `cost` and `train`, which are read when all else has been. */
  readonly sections: Map<string, Section>;
  /** The parts of the loss that the page itself names. */
  readonly parts: Extract<LossTerm, { readonly kind: "part" }>[];
  /** What stands for the sums of blocks' losses where the page reads them, by name. */
  readonly sums: Map<string, Tensor>;
  readonly metrics: Metric[];
  loss: Typed | null;
  /** Whether a part was given up. */
  incomplete: boolean;
}

/** A draft of a page of which nothing has been read. */
export const newDraft = (state: Elaboration, page: ModelDecl, options: ElaborateOptions): ModelDraft => ({
  state,
  page,
  options,
  scope: childScope(null, ""),
  dims: [],
  numbers: [],
  data: [],
  inputs: [],
  statements: [],
  outputs: [],
  used: new Set(),
  sections: new Map(),
  parts: [],
  sums: new Map(),
  metrics: [],
  loss: null,
  incomplete: false,
});

/** Whether the page has an item of this kind, be it wrong or not. */
export const hasItem = ({ page }: ModelDraft, kind: ModelItem["kind"]): boolean =>
  page.items.some((item) => item.kind === kind);

/** The manifolds that the page names. */
export const manifoldsOf = ({ scope }: ModelDraft): TypedModel["manifolds"] =>
  [...scope.names.values()].flatMap((entity) =>
    entity.kind === "manifold" ? [{ name: entity.name, manifold: entity.manifold }] : [],
  );

/** Runs a part; when it is given up, its name is poisoned in `scope` and null returned. */
export function attempt<T>(draft: ModelDraft, name: Ident | null, part: () => T, scope = draft.scope): T | null {
  const { pending, uses } = draft.state;
  const before = pending.length;
  try {
    return part();
  } catch (error) {
    if (!(error instanceof Abandoned)) throw error;
    draft.incomplete = true;
    if (name && !scope.names.has(name.name)) scope.names.set(name.name, { kind: "poison", span: name.span });
    // Sizes that the part left open are not reported too.
    pending.length = before;
    uses.length = 0;
    return null;
  }
}
