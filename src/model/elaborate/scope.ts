/**
 * Names while elaborating: what a name can stand for, where it is looked up, and the one signal by which a statement is
 * given up after its error has been reported (so that the rest of the page is still checked).
 */
import type { Arg, Block, Expr, Ident, Let } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import type { ConstraintSet, SetInstance } from "../../manifolds/registry.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic, type Code } from "../../diagnostics/table.js";
import type { Polynomial, Size } from "../../graph/sizes.js";
import type { Around } from "../deferred.js";
import { NONE_STANDING, type Standing } from "./standing.js";
import { bareName } from "./syntax.js";
import type { Axis, DataSource, Definition, Parameter, DeferredNumber, StartValue, Tensor, Typed } from "../typed.js";

/** A block with its configuration not yet evaluated, as it is passed to a connection or another block. */
export interface BlockValue {
  readonly decl: Block;
  /** Arguments of its first list, as written. */
  readonly config: readonly Arg[];
  /** What is given of its last list beside its first tensor, by name. */
  readonly beside: readonly Arg[];
  /** Where the configuration, and what is given beside the first tensor, was written. */
  readonly scope: Scope;
  /** The path of its instance when that is decided already (the block that a connection wraps). */
  readonly path: string | null;
  /** Whether it is the block that a connection wraps, even where the connection hands it on to another block. */
  readonly wrapped: boolean;
  /** Whether nothing is known of it: it makes what is expected of it (`alone.ts`). */
  readonly anything?: boolean;
  readonly span: Span;
}

/** What a name stands for. */
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
  | { readonly kind: "number"; readonly scalar: DeferredNumber; readonly span: Span }
  /** Its definition was wrong and has been reported. */
  | { readonly kind: "poison"; readonly span: Span };

/** What has a body on a page whose names mean nothing outside of it. */
export type BodyKind = "repeat" | "if";

/** A name that is on the page and cannot be read: where it was defined, and in what. */
export interface EndedName extends Span {
  readonly body: BodyKind | "output";
}

/** The names that can be used at a place of a page, and what else depends on the place. */
export interface Scope {
  /** Where names are looked up that are not here; null for a model and for the body of a block. */
  readonly parent: Scope | null;
  /** What is known of the definitions that this scope is of. */
  readonly defining: Defining;
  /** The blocks whose bodies this scope is inside of, outermost first: none of them may be instantiated here. */
  readonly within: readonly string[];
  readonly names: Map<string, Entity>;
  /** Names of bodies that have ended here, which mean nothing any more. */
  readonly ended: Map<string, EndedName>;
  /** What this is the body of, if it is one on a page. */
  readonly body: BodyKind | null;
  /** "" in a model, `layers.*.` in a repeat, `layers.*.attention.` in an instance. */
  readonly prefix: string;
  /** Names of the instances made here. */
  readonly instances: Map<string, Span>;
  /** The axes on the left of the definition that is being read: in a condition they are positions. */
  readonly wanted: readonly Axis[];
  /** The names that stand by themselves in the definition that is being read (`standing.ts`). */
  readonly standing: Standing;
  /** Inside the argument of a set's map: which set, and the sizes of its points. */
  readonly mapping: { readonly manifold: SetInstance; readonly point: readonly Polynomial[] } | null;
}

/** A scope without names of its own, in another; a scope of its own where `parent` is null. */
export const childScope = (
  parent: Scope | null,
  prefix: string,
  within: readonly string[] = parent?.within ?? [],
): Scope => ({
  parent,
  defining: newDefining(),
  within,
  names: new Map(),
  ended: new Map(),
  body: null,
  prefix,
  instances: new Map(),
  wanted: [],
  standing: parent?.standing ?? NONE_STANDING,
  mapping: parent?.mapping ?? null,
});

/** Definitions of one body that read other places of each other, as long as one of them has not been read. */
export interface OpenRecurrence {
  readonly recurrence: { axis: Axis; reversed: boolean; states: Tensor[] };
  readonly members: Definition[];
  /** Tensors of which an earlier place was read, by name, that are defined further down. */
  readonly awaited: Map<string, Tensor>;
}

/** What is known of the definitions of a model, a `repeat` or a block. */
export interface Defining {
  /** Its definitions by name, read or not. */
  readonly lets: Map<string, Let>;
  /** The first place that declares a name, read or not. */
  readonly declared: Map<string, Ident>;
  open: OpenRecurrence | null;
}

/** A body of which nothing is known. */
export const newDefining = (): Defining => ({ lets: new Map(), declared: new Map(), open: null });

/** Thrown after an error has been reported: the statement has no meaning. Caught where statements are elaborated. */
export class Abandoned extends Error {}

/** Gives a statement up of which the error has been reported: it uses, say, a name whose definition was wrong. */
export function giveUp(): never {
  throw new Abandoned();
}

/** The axes that a place expects of its expression, or null when it has no opinion. */
export type Expected = readonly Axis[] | null;

/** An argument of a block's last list: as written, or already made by an apply. */
export type DataArg =
  | { readonly kind: "written"; readonly arg: Arg; readonly scope: Scope }
  | { readonly kind: "tensor"; readonly value: Typed; readonly span: Span }
  | { readonly kind: "block"; readonly block: BlockValue; readonly span: Span };

/** One use of a block on a page: `attention(heads)(y)`. */
export interface BlockUse {
  readonly block: BlockValue;
  /** The arguments of its last list. */
  readonly data: readonly DataArg[];
  /** Where it is used: its instance is named there. */
  readonly caller: Scope;
  readonly expected: Expected;
  /** `first` of `attention(heads)(y) as first`. */
  readonly as: Ident | null;
  readonly span: Span;
}

/**
 * The two readers that call each other through all that stands between them: expressions make instances of blocks, and
 * instances hold expressions. They are handed down in the state, since imports do not run in circles.
 */
export interface Readers {
  /** `expression` of `expressions.ts`. */
  readonly expression: (state: Elaboration, e: Expr, scope: Scope, expected: Expected) => Typed;
  /** `instantiate` of `instances.ts`. */
  readonly instantiate: (state: Elaboration, use: BlockUse) => Typed;
}

/** A loss of a block in one use of it. */
export interface BlockLoss {
  /** The loss in the instance's body. */
  readonly tensor: Tensor;
  readonly block: string;
  readonly doc: string | null;
  /** Where the page uses the block. */
  readonly use: Span;
}

/** What all of a page shares while it is elaborated. */
export interface Elaboration {
  readonly readers: Readers;
  /** Blocks and connections by name: those that the page may name, and the library. */
  readonly blocks: ReadonlyMap<string, Block>;
  /** Those that each file which the page uses may name. */
  readonly blocksOf: ReadonlyMap<string, ReadonlyMap<string, Block>>;
  /** Sets by name: those of the registry, and the page's own. */
  readonly sets: Readonly<Record<string, ConstraintSet>>;
  /** The parameters so far, in the order in which they are made. */
  readonly parameters: Parameter[];
  /** The losses of the instances so far. */
  readonly losses: BlockLoss[];
  /** How many uses of random numbers have had a name so far. */
  readonly sites: Map<string, number>;
  readonly report: (d: Diagnostic) => void;
  /** The instances being made, innermost last: what an error inside a library block is traced back through. */
  readonly uses: { readonly block: string; readonly span: Span }[];
  /** The `repeat`s and branches around what is being read, the outermost first. */
  readonly around: Around[];
  /** What conditions are that nothing decides, where blocks are checked without a use; null where a page is read. */
  readonly assumed: boolean | null;
  /** Sizes that must be known in the end, with what to say if they are not. */
  readonly pending: { readonly size: Size; readonly span: Span; readonly what: string }[];
  /** What can be checked only when all sizes are known, and reports for itself. */
  readonly checks: (() => void)[];
  /**
   * Whether something that the page declares or computes was given up, after an error: what seems to be missing may
   * have been in it.
   */
  incomplete: boolean;
}

/** Reads an expression that stands inside of another, or in an instance. */
export const expression = (state: Elaboration, e: Expr, scope: Scope, expected: Expected): Typed =>
  state.readers.expression(state, e, scope, expected);

/** The blocks that can be named in a file. */
export const blocksIn = ({ blocks, blocksOf }: Elaboration, file: string): ReadonlyMap<string, Block> =>
  blocksOf.get(file) ?? blocks;

/** What a name stands for at a place; null when it means nothing there. */
export function lookup(scope: Scope, name: string): Entity | null {
  for (let at: Scope | null = scope; at; at = at.parent) {
    const entity = at.names.get(name);
    if (entity) return entity;
  }
  return null;
}

/** What an expression stands for that is one bare name; null for any other expression, and for an unknown name. */
export function lookupBare(scope: Scope, e: Expr): Entity | null {
  const name = bareName(e);
  return name === null ? null : lookup(scope, name);
}

/** Where a name was defined inside a body that has ended; null when it was not. */
export function endedName(scope: Scope, name: string): EndedName | null {
  for (let at: Scope | null = scope; at; at = at.parent) {
    const ended = at.ended.get(name);
    if (ended) return ended;
  }
  return null;
}

/** All names that mean something at a place, the innermost first. */
export function namesIn(scope: Scope): string[] {
  const names: string[] = [];
  for (let at: Scope | null = scope; at; at = at.parent) names.push(...at.names.keys());
  return names;
}

/** Reports a name that nothing has here, where it is declared further down, and gives the statement up. */
export function refuseBelow(state: Elaboration, scope: Scope, { name, span }: Ident): void {
  for (let at: Scope | null = scope; at; at = at.parent) {
    const declared = at.defining.declared.get(name);
    if (!declared || declared.span.start < span.end) continue;
    fail(state, "MHC201", span, `\`${name}\` is declared further down`, {
      notes: [{ message: "it is declared here", span: declared.span }],
      fix: "move its declaration up: a name means something from there on",
    });
  }
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

/** A name that nothing has, for `unknownName`. */
export interface UnknownName {
  readonly code: Code;
  readonly span: Span;
  readonly message: string;
  readonly name: string;
  /** The names that there are. */
  readonly candidates: Iterable<string>;
}

/** Reports an unknown name, with a suggestion where one is near, and gives the statement up. */
export function unknownName(state: Elaboration, { code, span, message, name, candidates }: UnknownName): never {
  const guess = nearest(name, candidates);
  return fail(state, code, span, message, { fix: guess ? `did you mean \`${guess}\`?` : null });
}

/** Reports a block that a file which the page uses has, and of which the file that names it does not take it. */
export function refuseNotTaken(state: Elaboration, name: string, span: Span): void {
  const [file] = [...state.blocksOf].find(([, blocks]) => blocks.get(name)?.span.file !== undefined) ?? [];
  if (file === undefined) return;
  fail(state, "MHC201", span, `\`${name}\` is a block of \`${file}\`, and is not taken of it here`, {
    fix: `add it to the braces: \`use "…" { …, ${name} }\``,
  });
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

/** Adds the name of a tensor. */
export const defineTensor = (state: Elaboration, scope: Scope, tensor: Tensor): void =>
  define(state, scope, tensor.name, { kind: "tensor", tensor, span: tensor.span });

/** The name of a block that has a loss of this name, used or not; null when none has. */
export function ownerOfLoss({ blocks }: Elaboration, name: string, file: string): string | null {
  const owners = [...blocks.values()].filter(({ items }) =>
    items.some((item) => item.kind === "term" && item.name.name === name),
  );
  // A block of the page's own is meant rather than one of the library.
  return (owners.find(({ span }) => span.file === file) ?? owners[0])?.name.name ?? null;
}

/** A tensor of the values of a definition, under the name that it defines. */
export const definedTensor = (
  ident: Ident,
  axes: readonly Axis[],
  { dtype, range }: Pick<Tensor, "dtype" | "range">,
): Tensor => ({ ...floatTensor("let", ident, axes), dtype, range });

/** A tensor of floats, under the name that declares it. */
export const floatTensor = (kind: Tensor["kind"], { name, span }: Ident, axes: readonly Axis[]): Tensor => ({
  name,
  kind,
  axes,
  dtype: "f32",
  range: null,
  span,
});
