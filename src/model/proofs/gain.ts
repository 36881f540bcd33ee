/**
 * Proofs of gains. The gain of a stream is the largest row sum, and column sum, of absolute values of the products of
 * its mixes: these are norms, so that of a product is at most the product of the norms of its factors, and that of a
 * sum at most their sum. A mix is read in `mixing.ts`; of each of its parts the coefficients are bounded (`bounds.ts`).
 */
import type { Span } from "../../diagnostics/span.js";
import { valueOf } from "../../graph/sizes.js";
import { createBounds, type Bounds, type None, type Sums } from "./bounds.js";
import {
  isIdentity,
  mixingOf,
  unwatched,
  type LinearMixing,
  type Mixing,
  type MixPart,
  type UnknownMixing,
} from "../mixing.js";
import { listed } from "../quantities.js";
import { written } from "../paths.js";
import type { Axis, Parameter, Statement, Tensor } from "../typed.js";

/** What a gain is proved of. */
export interface Page {
  readonly statements: readonly Statement[];
  readonly parameters: readonly Parameter[];
  /** Whether what is called so may be switched off with its layer (`shrink`). */
  readonly mayGo: (name: string) => boolean;
}

export type GainProof =
  | { readonly at: number; readonly steps: readonly string[] }
  | { readonly none: string; readonly span: Span | null; readonly steps: readonly string[] };

/** To seven digits, so that a rounding of 10^-6 shows. */
export const exactly = (x: number): string => `${Number(x.toPrecision(7))}`;

/** A new value of the stream. */
interface Change {
  readonly name: string;
  readonly path: string;
  readonly mixing: Mixing;
}

/** The new values of a stream in the order of the page, those of a layer once. */
function changesOf(statements: readonly Statement[], stream: Tensor): readonly Change[] {
  return statements.flatMap((statement) =>
    statement.kind === "repeat" ? changesOf(statement.body, stream) : (changeOf(statement, stream) ?? []),
  );
}

function changeOf(statement: Exclude<Statement, { readonly kind: "repeat" }>, stream: Tensor): Change | null {
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

/** A bound of a product, and the largest of those of its parts: up to every factor, or from every factor on. */
interface Extent {
  readonly whole: number;
  readonly most: number;
}

const nothing: Extent = { whole: 1, most: 0 };
/** `first` is nearer to the end that every part reaches. */
const joined = (first: Extent, second: Extent): Extent => ({
  whole: first.whole * second.whole,
  most: Math.max(first.most, first.whole * second.most),
});
/** The parts grow or fall from layer to layer, so that the largest is in the first or the last. */
const repeated = ({ whole, most }: Extent, count: number): Extent =>
  count === 0 ? nothing : { whole: whole ** count, most: Math.max(most, whole ** (count - 1) * most) };

interface Extents {
  readonly rows: Extent;
  readonly columns: Extent;
}

export function proveGain({ statements, parameters, mayGo }: Page, stream: Tensor): GainProof {
  const steps: string[] = [];
  const missing = (none: string, span: Span | null): GainProof => ({ none, span, steps });
  const walk = (list: readonly Statement[], times: number | null): Extents | GainProof => {
    let all: Extents = { rows: nothing, columns: nothing };
    for (const statement of list) {
      const next = statement.kind === "repeat" ? layers(statement, times) : change(changeOf(statement, stream), times);
      if (next === null) continue;
      if (!("rows" in next)) return next;
      all = { rows: joined(all.rows, next.rows), columns: joined(next.columns, all.columns) };
    }
    return all;
  };
  const layers = (
    { count, body }: Extract<Statement, { readonly kind: "repeat" }>,
    times: number | null,
  ): Extents | GainProof => {
    const own = valueOf(count);
    const layer = walk(body, times === null || own === null ? null : times * own);
    if (!("rows" in layer)) return layer;
    return own === null ? layer : { rows: repeated(layer.rows, own), columns: repeated(layer.columns, own) };
  };
  const change = (found: Change | null, times: number | null): Extents | GainProof | null => {
    if (!found) return null;
    const { name, path, mixing } = found;
    if (mixing.kind === "unknown") return missing(odd(name, mixing), mixing.span);
    if (isIdentity(mixing)) {
      steps.push(`${name} passes the stream on beside its block: factor 1`);
      return { rows: { whole: 1, most: 1 }, columns: { whole: 1, most: 1 } };
    }
    const proved = connection(name, mixing, createBounds(parameters, mixing.definitions));
    if ("none" in proved) return missing(proved.none, proved.span);
    if (times === null) return missing("the number of layers is not known yet", null);
    // Switched off, a connection passes its stream on: a factor of 1.
    const least = mayGo(path) ? 1 : 0;
    const [rows, columns] = [proved.sums.rows, proved.sums.columns].map((sum) => Math.max(least, sum));
    steps.push(`${proved.words}${times > 1 ? `, ${times} times` : ""}`);
    return { rows: { whole: rows!, most: rows! }, columns: { whole: columns!, most: columns! } };
  };
  const whole = walk(statements, 1);
  if (!("rows" in whole)) return whole;
  if (steps.length === 0) return missing(`nothing goes through \`${stream.name}\``, stream.span);
  const at = Math.max(whole.rows.most, whole.columns.most);
  const product = Math.max(whole.rows.whole, whole.columns.whole);
  const words =
    exactly(at) === exactly(product)
      ? "the product of these"
      : "the largest product of these from the first on, or to the last";
  return { at, steps: [...steps, `gain(${stream.name}) is at most ${words}, ${exactly(at)}`] };
}

/** Why a gain cannot be measured while training; null when it can. `mhc verify` measures every one. */
export function unmeasuredGain(
  { statements }: Pick<Page, "statements">,
  stream: Tensor,
): { readonly reason: string; readonly span: Span } | null {
  const changes = changesOf(statements, stream);
  for (const change of changes)
    if (change.mixing.kind === "unknown") return { reason: odd(change.name, change.mixing), span: change.mixing.span };
  const reason = unwatched(changes.map(({ mixing }) => mixing));
  return reason === null ? null : { reason, span: stream.span };
}

const odd = (name: string, { reason }: UnknownMixing): string =>
  `${name} does something else with its stream than mixing it: ${reason}`;

type Proved = { readonly sums: Sums; readonly words: string } | None;

/** The largest sums of one connection, and the step of the proof that says so. */
function connection(name: string, { stream, parts }: LinearMixing, bounds: Bounds): Proved {
  const all: Sums[] = [];
  for (const part of parts) {
    const sums = partSums(part, stream, bounds);
    if ("none" in sums) return { ...sums, none: `of the mix of ${name}, ${sums.none}` };
    all.push(sums);
  }
  const [first] = all;
  if (parts.length === 1 && first!.member) {
    const { set, options } = first!.member;
    const rounding = set.tolerance(options) ?? 0;
    const most = exactly(Math.max(first!.rows, first!.columns));
    const withIt = rounding ? ` (its tolerance of ${rounding} with it)` : "";
    return {
      sums: first!,
      words:
        `the mix of ${name} is on \`${set.name}\`${set.because ?? ""}: rows and columns sum to at most ` +
        `${most}${withIt}`,
    };
  }
  const sums = all.reduce<Sums>(
    (total, own) => ({ rows: total.rows + own.rows, columns: total.columns + own.columns, member: null }),
    { rows: 0, columns: 0, member: null },
  );
  const most = (own: Sums): string => exactly(Math.max(own.rows, own.columns));
  const each = all.map(
    (own, i) => `${most(own)}${own.member ? ` on \`${own.member.set.name}\`` : isPlain(parts[i]!) ? " as it is" : ""}`,
  );
  const words =
    all.length === 0
      ? `${name} does not pass its stream on: factor 0`
      : `${name} makes its stream of ${all.length} part${all.length === 1 ? "" : "s"}, whose rows and columns ` +
        `sum to at most ${each.join(", ")}: ${most(sums)} together`;
  return { sums, words };
}

const isPlain = ({ factors, summed }: MixPart): boolean => factors.length === 0 && summed.length === 0;

/**
 * Of x'[a] = sum over r, s of the product of factors, with x[r]: matrices among the factors that lead from a mixed axis
 * of the result to the stream's count with their sums; of other factors the largest entry counts, for every value of
 * what is summed beside. Where no matrix leads from one to the other, every entry of the row and the column is counted.
 */
function partSums({ factors, read, summed }: MixPart, stream: Tensor, bounds: Bounds): Sums | None {
  const unused = new Set(factors);
  const beside = new Set(summed.map(({ axis }) => axis));
  let [rows, columns, only] = [1, 1, null as Sums["member"]];
  const pairs = read.flatMap((axis, i) => (axis === stream.axes[i] ? [] : [{ row: stream.axes[i]!, column: axis }]));
  const ends = new Set(pairs.flatMap(({ row, column }) => [row, column]));
  for (const { row, column } of pairs) {
    beside.delete(column);
    // A matrix that depends on where another one begins or ends would be counted with the wrong one of its values.
    const usable = [...unused].filter(
      ({ inverse, names }) =>
        !inverse && [...names.values()].every((axis) => axis === row || axis === column || !ends.has(axis)),
    );
    const path = pathOf(usable, { from: row, to: column, row }, new Set(summed.map(({ axis }) => axis)), factors);
    const sums =
      path?.map(({ factor, from, to }) => named(bounds.matrix(factor, from, to), factor, "a free matrix")) ?? [];
    const missing = sums.find((own): own is None => "none" in own);
    if (missing) return missing;
    if (path) {
      path.forEach(({ factor, to }) => {
        unused.delete(factor);
        beside.delete(to);
      });
      for (const own of sums as Sums[]) [rows, columns, only] = [rows * own.rows, columns * own.columns, own.member];
      if (path.length > 1) only = null;
      continue;
    }
    const [height, width] = [valueOf(row.size), valueOf(column.size)];
    if (height === null || width === null)
      return { none: `the size of ${listed([row])} is not known yet`, span: stream.span };
    [rows, columns] = [rows * width, columns * height];
  }
  for (const factor of unused) {
    const own = named(bounds.entry(factor), factor, "free");
    if (typeof own !== "number") return own;
    [rows, columns] = [rows * own, columns * own];
  }
  const count = bounds.area([...beside]);
  if (count === null) return { none: `the size of ${listed([...beside])} is not known yet`, span: stream.span };
  const alone = pairs.length === 1 && factors.length === 1 && beside.size === 0;
  return { rows: rows * count, columns: columns * count, member: alone ? only : null };
}

/** Of a coefficient with a name, that it is free: what it is made of is its own affair. */
function named<T extends number | Sums>(found: T | None, { e }: MixPart["factors"][number], free: string): T | None {
  if (typeof found !== "object" || !("none" in found) || !found.free || e.kind !== "tensor") return found;
  return { none: `\`${e.tensor.name}\` is ${free}`, span: e.tensor.span };
}

interface Step {
  readonly factor: MixPart["factors"][number];
  readonly from: Axis;
  readonly to: Axis;
}

/** Factors that lead from one axis to another, each over axes that are summed and that nothing else has. */
function pathOf(
  left: readonly MixPart["factors"][number][],
  { from, to, row }: { readonly from: Axis; readonly to: Axis; readonly row: Axis },
  summed: ReadonlySet<Axis>,
  all: readonly MixPart["factors"][number][],
): readonly Step[] | null {
  for (const factor of left) {
    const axes = [...new Set(factor.names.values())];
    if (!axes.includes(from) || (from !== row && axes.includes(row))) continue;
    if (axes.includes(to)) return [{ factor, from, to }];
    for (const axis of axes) {
      const shared = all.filter(({ names }) => [...names.values()].includes(axis)).length;
      if (axis === from || axis === row || !summed.has(axis) || shared !== 2) continue;
      const rest = pathOf(
        left.filter((other) => other !== factor),
        { from: axis, to, row },
        summed,
        all,
      );
      if (rest) return [{ factor, from, to: axis }, ...rest];
    }
  }
  return null;
}
