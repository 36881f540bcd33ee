/**
 * Names while elaborating: what a name can stand for, where it is looked up, and the one signal by which a statement is
 * given up after its error has been reported (so that the rest of the page is still checked).
 */
import type { Arg, Block, Ident } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import type { ConstraintSet, SetInstance } from "../../manifolds/registry.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic, type Code } from "../../diagnostics/table.js";
import type { Polynomial, Size } from "../../graph/sizes.js";
import type { Axis, DataSource, Parameter, Scalar, StartValue, Tensor, Typed } from "../typed.js";

/** A block with its configuration not yet evaluated, as it is passed to a connection or another block. */
export interface BlockValue {
  readonly decl: Block;
  readonly config: readonly Arg[];
  /** Where the configuration was written. */
  readonly scope: Scope;
  /** The path of its instance when that is decided already (the block that a connection wraps). */
  readonly path: string | null;
  /** Whether it is what goes `through` the connection, wherever it is handed on to. */
  readonly wrapped: boolean;
  readonly span: Span;
}

export type Entity =
  | { readonly kind: "dim"; readonly axis: Axis; readonly span: Span }
  | { readonly kind: "tensor"; readonly tensor: Tensor; readonly span: Span }
  | {
      readonly kind: "data";
      readonly source: DataSource;
      readonly fields: ReadonlyMap<string, Tensor>;
      readonly span: Span;
    }
  | { readonly kind: "manifold"; readonly name: string; readonly manifold: SetInstance; readonly span: Span }
  | { readonly kind: "block"; readonly block: BlockValue; readonly span: Span }
  | { readonly kind: "start"; readonly start: StartValue; readonly span: Span }
  | { readonly kind: "number"; readonly scalar: Scalar; readonly span: Span }
  /** Its definition was wrong and has been reported. */
  | { readonly kind: "poison"; readonly span: Span };

export interface Scope {
  readonly parent: Scope | null;
  /** The blocks whose bodies this scope is inside of, outermost first: none of them may be instantiated here. */
  readonly within: readonly string[];
  readonly names: Map<string, Entity>;
  /** Names of `repeat`s that have ended here, which mean nothing any more. */
  readonly ended: Map<string, Span>;
  /** "" in a model, `layers.*.` in a repeat, `layers.*.attention.` in an instance. */
  readonly prefix: string;
  /** Names of the instances made here. */
  readonly instances: Map<string, Span>;
  /** The axes on the left of the definition that is being read: in a condition they are positions. */
  readonly wanted: readonly Axis[];
  /** Inside the argument of a set's map: which set, and the sizes of its points. */
  readonly mapping: { readonly manifold: SetInstance; readonly point: readonly Polynomial[] } | null;
}

export const childScope = (
  parent: Scope | null,
  prefix: string,
  within: readonly string[] = parent?.within ?? [],
): Scope => ({
  parent,
  within,
  names: new Map(),
  ended: new Map(),
  prefix,
  instances: new Map(),
  wanted: [],
  mapping: parent?.mapping ?? null,
});

/** Thrown after an error has been reported: the statement has no meaning. Caught where statements are elaborated. */
export class Abandoned extends Error {}

/** The axes that a place expects of its expression, or null when it has no opinion. */
export type Expected = readonly Axis[] | null;

/** An argument of a block's last list: as written, or already made by an apply. */
export type DataArg =
  | { readonly kind: "written"; readonly arg: Arg; readonly scope: Scope }
  | { readonly kind: "tensor"; readonly value: Typed; readonly span: Span }
  | { readonly kind: "block"; readonly block: BlockValue; readonly span: Span };

export interface Elaboration {
  /**
   * Makes an instance of a block. Here, since expressions make instances and instances hold expressions: neither file
   * can import the other.
   */
  readonly instantiate: (
    state: Elaboration,
    block: BlockValue,
    data: readonly DataArg[],
    caller: Scope,
    expected: Expected,
    as: Ident | null,
    span: Span,
  ) => Typed;
  readonly blocks: ReadonlyMap<string, Block>;
  /** Sets by name: those of the registry, and the page's own. */
  readonly sets: Readonly<Record<string, ConstraintSet>>;
  readonly parameters: Parameter[];
  readonly report: (d: Diagnostic) => void;
  /** The instances being made, innermost last: what an error inside a library block is traced back through. */
  readonly uses: { readonly block: string; readonly span: Span }[];
  /** Sizes that must be known in the end, with what to say if they are not. */
  pending: readonly { readonly size: Size; readonly span: Span; readonly what: string }[];
  /**
   * Whether something that the page declares or computes was given up, after an error: what seems to be missing may
   * have been in it.
   */
  incomplete: boolean;
}

export function lookup(scope: Scope, name: string): Entity | null {
  for (let at: Scope | null = scope; at; at = at.parent) {
    const found = at.names.get(name);
    if (found) return found;
  }
  return null;
}

/** Where a name was defined inside a `repeat` that has ended; null when it was not. */
export function endedName(scope: Scope, name: string): Span | null {
  for (let at: Scope | null = scope; at; at = at.parent) {
    const span = at.ended.get(name);
    if (span) return span;
  }
  return null;
}

export function namesIn(scope: Scope): string[] {
  const names: string[] = [];
  for (let at: Scope | null = scope; at; at = at.parent) names.push(...at.names.keys());
  return names;
}

/** Reports an error and gives the statement up. */
export function fail(
  state: Elaboration,
  code: Code,
  span: Span,
  message: string,
  extra: { readonly notes?: Diagnostic["notes"]; readonly fix?: string | null } = {},
): never {
  state.report(diagnostic(code, span, message, extra));
  throw new Abandoned();
}

/** "unknown name", with a suggestion. */
export function unknownName(
  state: Elaboration,
  code: Code,
  span: Span,
  message: string,
  name: string,
  candidates: Iterable<string>,
): never {
  const guess = nearest(name, candidates);
  return fail(state, code, span, message, { fix: guess ? `did you mean \`${guess}\`?` : null });
}

/** Adds a name; a second definition is an error that shows the first. */
export function define(state: Elaboration, scope: Scope, name: string, entity: Entity): void {
  const before = scope.names.get(name);
  if (before) {
    state.report(
      diagnostic("MHC202", entity.span, `\`${name}\` is defined twice`, {
        notes: [{ message: "it is defined here first", span: before.span }],
        fix: "give one of them another name",
      }),
    );
    return;
  }
  scope.names.set(name, entity);
}
