/**
 * Proofs of gains. The gain of a stream is the largest row sum, and column sum, of absolute values of the products of
 * its mixes: these are norms, so that of a product is at most the product of the norms of its factors, and that of a
 * sum at most their sum. A mix is read in `mixing.ts`; of each of its parts the coefficients are bounded (`bounds.ts`).
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import { valueOf } from "../../graph/sizes.js";
import type { SetInstance } from "../../manifolds/registry.js";
import {
  isIdentity,
  mixingOf,
  unwatched,
  type Coefficient,
  type LinearMixing,
  type Mixing,
  type MixPart,
  type UnknownMixing,
} from "../mixing.js";
import { listed } from "../quantities.js";
import { written } from "../paths.js";
import { statementsIn, type RepeatStatement, type ValueStatement } from "../statements.js";
import type { Axis, LayerNumbers, Parameter, Statement, Tensor } from "../typed.js";
import { walk } from "../walk.js";
import { area, boundsState, isNone, sizesOf, type BoundsState, type None } from "./bounds.js";
import { joinedExtents, noExtents, repeatedExtents, type Extents } from "./extents.js";
import { entryBound } from "./ranges.js";
import { matrixSums, type Sums } from "./sums.js";

/** What a gain is proved of. */
export interface GainPage {
  readonly statements: readonly Statement[];
  readonly parameters: readonly Parameter[];
  /** Whether what is called so may be switched off with its layer (`shrink`). */
  readonly mayGo: (name: string) => boolean;
}

/**
 * That a gain is at most `at`, or why that does not follow; `steps` are the sentences of the proof as far as it goes.
 */
export type GainProof =
  | { readonly at: number; readonly steps: readonly string[] }
  | { readonly none: string; readonly span: Span | null; readonly steps: readonly string[] };

/** To seven digits, so that a rounding of 10^-6 shows. */
export const exactly = (x: number): string => `${Number(x.toPrecision(7))}`;

/** A new value of the stream. */
interface StreamChange {
  readonly name: string;
  readonly path: string;
  readonly mixing: Mixing;
}

/** The new values of a stream in the order of the page; those in a `repeat` are there once. */
function changesOf(statements: readonly Statement[], stream: Tensor): readonly StreamChange[] {
  return statements.flatMap((statement) =>
    "value" in statement ? (changeOf(statement, stream) ?? []) : changesOf(statementsIn(statement), stream),
  );
}

function changeOf(statement: ValueStatement, stream: Tensor): StreamChange | null {
  switch (statement.kind) {
    case "let":
      return null;
    case "apply":
    case "update": {
      if (statement.stream !== stream) return null;
      const name = statement.kind === "apply" ? `\`${written(statement.path)}\`` : `\`${stream.name} = …\``;
      return { name, path: statement.path, mixing: mixingOf(statement.value, stream) };
    }
    default:
      return statement satisfies never;
  }
}

/** Why the gain does not follow. */
interface Missing {
  readonly none: string;
  readonly span: Span | null;
}

const isMissing = (result: Extents | Missing): result is Missing => "none" in result;

/** A proof so far. */
interface ProofState {
  readonly page: GainPage;
  readonly stream: Tensor;
  readonly steps: string[];
  /** The layer that is read: of layers that are alike the first, which stands for all. */
  readonly layers: LayerNumbers;
  /** Of these numbers, the ones of layers that are read one by one. */
  readonly named: LayerNumbers;
}

/** Proves how large the gain of a stream is at most. */
export function proveGain(page: GainPage, stream: Tensor): GainProof {
  const state: ProofState = { page, stream, steps: [], layers: [], named: [] };
  const { steps } = state;
  const product = extentsOf(state, page.statements, 1);
  if (isMissing(product)) return { ...product, steps };
  if (steps.length === 0 && !changesOf(page.statements, stream).length)
    return { none: `nothing goes through \`${stream.name}\``, span: stream.span, steps };
  const at = Math.max(product.rows.most, product.columns.most);
  const whole = Math.max(product.rows.whole, product.columns.whole);
  const words =
    exactly(at) === exactly(whole)
      ? "the product of these"
      : "the largest product of these from the first on, or to the last";
  return { at, steps: [...steps, `gain(${stream.name}) is at most ${words}, ${exactly(at)}`] };
}

/** The bounds of some statements together, which are run so many `times`; null when that is not known yet. */
function extentsOf(state: ProofState, statements: readonly Statement[], times: number | null): Extents | Missing {
  let product: Extents = noExtents;
  for (const statement of statements) {
    const next = statementExtents(state, statement, times);
    if (next === null) continue;
    if (isMissing(next)) return next;
    product = joinedExtents(product, next);
  }
  return product;
}

function statementExtents(state: ProofState, statement: Statement, times: number | null): Extents | Missing | null {
  if (statement.kind === "repeat")
    return dependsOnLayer(statement)
      ? eachLayerExtents(state, statement, times)
      : layerExtents(state, statement, times);
  if (statement.kind !== "if") return changeExtents(state, changeOf(statement, state.stream), times);
  const { condition, then, otherwise, span } = statement;
  if (!changesOf(statementsIn(statement), state.stream).length) return null;
  const value = condition.value(state.layers);
  if (Number.isNaN(value)) return { none: `whether \`${condition.text}\` is not known yet`, span };
  return extentsOf(state, value === 0 ? otherwise : then, times);
}

/** Whether the layers of a `repeat` are not alike: some number in it is of the layer, or a branch. */
function dependsOnLayer({ body }: RepeatStatement): boolean {
  const hasBranches = (statement: Statement): boolean =>
    statement.kind === "if" || statementsIn(statement).some(hasBranches);
  if (body.some(hasBranches)) return true;
  let depends = false;
  walk({ statements: body, loss: null, outputs: [], terms: [], metrics: [] }, (e) => {
    depends ||= e.kind === "scalar" && (e.scalar.depths?.length ?? 0) > 0;
  });
  return depends;
}

/** The bounds of layers that are not alike, each read by itself. */
function eachLayerExtents(
  state: ProofState,
  { count: size, body }: RepeatStatement,
  times: number | null,
): Extents | Missing | null {
  if (!changesOf(body, state.stream).length) return null;
  const count = valueOf(size);
  if (count === null) return { none: "the number of layers is not known yet", span: null };
  let product: Extents = noExtents;
  for (let layer = 0; layer < count; layer++) {
    const { layers, named } = state;
    const next = extentsOf({ ...state, layers: [...layers, layer], named: [...named, layer] }, body, times);
    if (isMissing(next)) return next;
    product = joinedExtents(product, next);
  }
  return product;
}

function layerExtents(
  state: ProofState,
  { count: size, body }: RepeatStatement,
  times: number | null,
): Extents | Missing {
  const count = valueOf(size);
  // The layers are alike, so that the first stands for all of them.
  const first = { ...state, layers: [...state.layers, 0] };
  const layer = extentsOf(first, body, times === null || count === null ? null : times * count);
  if (isMissing(layer) || count === null) return layer;
  return repeatedExtents(layer, count);
}

/** The bounds of one new value of the stream; null for a statement that gives it none. */
function changeExtents(
  { page, steps, layers, named }: ProofState,
  change: StreamChange | null,
  times: number | null,
): Extents | Missing | null {
  if (!change) return null;
  const { path, mixing } = change;
  const name = `${change.name}${named.length ? ` of layer ${named.join(".")}` : ""}`;
  if (mixing.kind === "unknown") return { none: notMixed(name, mixing), span: mixing.span };
  if (isIdentity(mixing)) {
    steps.push(`${name} passes the stream on beside its block: factor 1`);
    return { rows: { whole: 1, most: 1 }, columns: { whole: 1, most: 1 } };
  }
  const proved = connectionSums(name, mixing, boundsState(page.parameters, mixing.definitions, layers));
  if (isNone(proved)) return { none: proved.none, span: proved.span };
  if (times === null) return { none: "the number of layers is not known yet", span: null };
  // Switched off, a connection passes its stream on: a factor of 1.
  const least = page.mayGo(path) ? 1 : 0;
  const [rows, columns] = [Math.max(least, proved.sums.rows), Math.max(least, proved.sums.columns)];
  steps.push(`${proved.words}${times > 1 ? `, ${times} times` : ""}`);
  return { rows: { whole: rows, most: rows }, columns: { whole: columns, most: columns } };
}

/** Why a gain cannot be measured while training; null when it can. `mhc verify` measures every one. */
export function unmeasuredGain(
  { statements }: Pick<GainPage, "statements">,
  stream: Tensor,
): { readonly reason: string; readonly span: Span } | null {
  const changes = changesOf(statements, stream);
  for (const change of changes)
    if (change.mixing.kind === "unknown")
      return { reason: notMixed(change.name, change.mixing), span: change.mixing.span };
  const reason = unwatched(changes.map(({ mixing }) => mixing));
  return reason === null ? null : { reason, span: stream.span };
}

const notMixed = (name: string, { reason }: UnknownMixing): string =>
  `${name} does something else with its stream than mixing it: ${reason}`;

type ProvedSums = { readonly sums: Sums; readonly words: string } | None;

/** The largest sums of one connection, and the step of the proof that says so. */
function connectionSums(name: string, { stream, parts }: LinearMixing, bounds: BoundsState): ProvedSums {
  const proved: Sums[] = [];
  for (const part of parts) {
    const sums = partSums(part, stream, bounds);
    if (isNone(sums)) return { ...sums, none: `of the mix of ${name}, ${sums.none}` };
    proved.push(sums);
  }
  const [first] = proved;
  if (proved.length === 1 && first?.member) return { sums: first, words: memberWords(name, first, first.member) };
  const total = proved.reduce<Sums>(
    (sum, part) => ({ rows: sum.rows + part.rows, columns: sum.columns + part.columns, member: null }),
    { rows: 0, columns: 0, member: null },
  );
  const each = proved.map(
    (sums, i) =>
      `${most(sums)}${sums.member ? ` on \`${sums.member.set.name}\`` : isPlain(mustAt(parts, i)) ? " as it is" : ""}`,
  );
  const words =
    proved.length === 0
      ? `${name} does not pass its stream on: factor 0`
      : `${name} makes its stream of ${proved.length} part${proved.length === 1 ? "" : "s"}, whose rows and columns ` +
        `sum to at most ${each.join(", ")}: ${most(total)} together`;
  return { sums: total, words };
}

/** The larger of the two sums of a matrix, in words. */
const most = ({ rows, columns }: Sums): string => exactly(Math.max(rows, columns));

/** That a mix is on a set, and what that says of its sums. */
function memberWords(name: string, sums: Sums, { set, options }: SetInstance): string {
  const rounding = set.tolerance(options) ?? 0;
  const withIt = rounding ? ` (its tolerance of ${rounding} with it)` : "";
  return (
    `the mix of ${name} is on \`${set.name}\`${set.because ?? ""}: rows and columns sum to at most ` +
    `${most(sums)}${withIt}`
  );
}

const isPlain = ({ factors, summed }: MixPart): boolean => factors.length === 0 && summed.length === 0;

/** An axis of the new value, and the axis of the old one that is read for it. */
interface AxisPair {
  readonly row: Axis;
  readonly column: Axis;
}

/** The sums of a part as far as its factors are counted. */
interface PartCount {
  readonly part: MixPart;
  readonly stream: Tensor;
  readonly bounds: BoundsState;
  /** Axes where paths of matrices begin and end. */
  readonly ends: ReadonlySet<Axis>;
  /** Factors that have not been counted yet. */
  readonly factors: Set<Coefficient>;
  /** The axes that are summed beside those of the matrices that have been counted. */
  readonly beside: Set<Axis>;
  rows: number;
  columns: number;
  /** The set that the last of the matrices is on. */
  member: Sums["member"];
}

/**
 * Of x'[a] = sum over r, s of the product of factors, with x[r]: matrices among the factors that lead from a mixed axis
 * of the result to the stream's count with their sums; of other factors the largest entry counts, for every value of
 * what is summed beside. Where no matrix leads from one to the other, every entry of the row and the column is counted.
 */
function partSums(part: MixPart, stream: Tensor, bounds: BoundsState): Sums | None {
  const pairs = part.read.flatMap((column, i): AxisPair[] => {
    const row = mustAt(stream.axes, i);
    return column === row ? [] : [{ row, column }];
  });
  const count: PartCount = {
    part,
    stream,
    bounds,
    ends: new Set(pairs.flatMap(({ row, column }) => [row, column])),
    factors: new Set(part.factors),
    beside: new Set(part.summed.map(({ axis }) => axis)),
    rows: 1,
    columns: 1,
    member: null,
  };
  for (const pair of pairs) {
    const missing = countPair(count, pair);
    if (missing) return missing;
  }
  for (const factor of count.factors) {
    const entry = called(entryBound(bounds, factor), factor, "free");
    if (isNone(entry)) return entry;
    multiply(count, { rows: entry, columns: entry, member: count.member });
  }
  const beside = [...count.beside];
  const places = area(beside);
  if (places === null) return { none: `the size of ${listed(beside)} is not known yet`, span: stream.span };
  const isAlone = pairs.length === 1 && part.factors.length === 1 && beside.length === 0;
  const { rows, columns, member } = count;
  return { rows: rows * places, columns: columns * places, member: isAlone ? member : null };
}

function multiply(count: PartCount, { rows, columns, member }: Sums): void {
  count.rows *= rows;
  count.columns *= columns;
  count.member = member;
}

/** Counts the matrices that lead from one axis to another, or else every entry; what is missing for that, or null. */
function countPair(count: PartCount, { row, column }: AxisPair): None | null {
  const { part, ends, beside, stream, bounds } = count;
  beside.delete(column);
  // A matrix that depends on where another one begins or ends would be counted with the wrong one of its values.
  const usable = [...count.factors].filter(
    ({ inverse, names }) =>
      !inverse && [...names.values()].every((axis) => axis === row || axis === column || !ends.has(axis)),
  );
  const path = pathOf(usable, { from: row, to: column }, { row, part });
  if (!path) {
    const [height, width] = sizesOf([row, column]) ?? [];
    if (height === undefined || width === undefined)
      return { none: `the size of ${listed([row])} is not known yet`, span: stream.span };
    multiply(count, { rows: width, columns: height, member: null });
    return null;
  }
  for (const { factor, from, to } of path) {
    const sums = called(matrixSums(bounds, factor, from, to), factor, "a free matrix");
    if (isNone(sums)) return sums;
    multiply(count, sums);
    count.factors.delete(factor);
    beside.delete(to);
  }
  if (path.length > 1) count.member = null;
  return null;
}

/** A bound, or why there is none; of a free coefficient with a name that says the name, and not what it is made of. */
function called<T extends number | Sums>(bound: T | None, { e }: Coefficient, free: string): T | None {
  if (!isNone(bound) || !bound.free || e.kind !== "tensor") return bound;
  return { none: `\`${e.tensor.name}\` is ${free}`, span: e.tensor.span };
}

interface Step {
  readonly factor: Coefficient;
  readonly from: Axis;
  readonly to: Axis;
}

/**
 * Factors that lead from one axis to another, each over axes that are summed and that nothing else has. `row`: where
 * the path begins, to which it does not come back.
 */
function pathOf(
  usable: readonly Coefficient[],
  { from, to }: { readonly from: Axis; readonly to: Axis },
  within: { readonly row: Axis; readonly part: MixPart },
): readonly Step[] | null {
  const { row, part } = within;
  for (const factor of usable) {
    const axes = [...new Set(factor.names.values())];
    if (!axes.includes(from) || (from !== row && axes.includes(row))) continue;
    if (axes.includes(to)) return [{ factor, from, to }];
    for (const axis of axes) {
      const sharing = part.factors.filter(({ names }) => [...names.values()].includes(axis)).length;
      const isSummed = part.summed.some((summed) => summed.axis === axis);
      if (axis === from || axis === row || !isSummed || sharing !== 2) continue;
      const others = usable.filter((other) => other !== factor);
      const rest = pathOf(others, { from: axis, to }, within);
      if (rest) return [{ factor, from, to: axis }, ...rest];
    }
  }
  return null;
}
