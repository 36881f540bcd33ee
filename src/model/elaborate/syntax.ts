/**
 * Small questions about the syntax tree that all of this room asks: what a path is called, whether an expression is one
 * bare name, and the kinds of clauses by name.
 */
import type { Call, Clause, Expr, Path } from "../../../grammar/ast.js";

/** `gain(x) <= 1.6`, `memory <= 2 GiB`, `energy <= 50%`. */
export type BoundClause = Extract<Clause, { readonly kind: "bound" }>;

/** `batch = 12`, `recompute = every 6`. */
export type SettingClause = Extract<Clause, { readonly kind: "setting" }>;

/** `device laptop`, `flops weight 0.1`, `shrink heads, mlp.hidden`. */
export type WordsClause = Extract<Clause, { readonly kind: "words" }>;

/** A path as it is written: `corpus.token`. */
export const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

/** The path that is called, or that stands alone: `adamw` of `adamw` and of `adamw(rate = 1e-3)`. */
export const calleeOf = (e: Path | Call): Path => (e.kind === "path" ? e : e.callee);

/** The name of a path of one part: `x`, and null for `corpus.token` and for anything that is no path. */
export const bareName = (e: Expr): string | null =>
  e.kind === "path" && e.parts.length === 1 ? e.parts[0].name : null;

/** All arguments of a call in one list; none of a path. */
export const argumentsOf = (e: Path | Call): Call["lists"][number] => (e.kind === "call" ? e.lists.flat() : []);

/** What is said of a clause that only `train` has; null of any other. */
export const onlyInTrain = ({ kind }: Clause): string | null =>
  kind === "freeze" || kind === "group" ? `\`${kind}\` is a clause of \`train\`` : null;
