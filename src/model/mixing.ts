/**
 * What a connection does to its stream when its coefficients are held (`held.ts`): x' = sum of parts, each a product of
 * coefficients with the stream under some names of its axes, summed over some of them. It is read by evaluating the
 * connection abstractly, through every definition, call and name: a value does not carry the stream, carries it as such
 * a sum, or does something else with it, and then nothing is known of it but where and why. `mix[t, n, m] * x[m, t, w]`
 * is one part with one coefficient; x + 9 * x is two.
 *
 * The reading is a function of a value and a stream, so that it reads any new value that a stream is given.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Span } from "../diagnostics/span.js";
import { heldIn } from "./held.js";
import { partsOf } from "./walk.js";
import { statementsIn } from "./statements.js";
import { axesOf, type Axis, type Statement, type Tensor, type Typed, type TypedOf } from "./typed.js";

/** A factor that does not carry the stream: an expression, and what its axes are called here. */
export interface Coefficient {
  readonly e: Typed;
  readonly names: ReadonlyMap<Axis, Axis>;
  readonly inverse: boolean;
}

/** An axis that is summed, under a name of its own; `of` is the axis of the page that it is. */
export interface SummedAxis {
  readonly axis: Axis;
  readonly of: Axis;
}

/** One part of the sum: the product of its factors with the stream, summed over some axes. */
export interface MixPart {
  readonly factors: readonly Coefficient[];
  /** The names under which the stream's axes are read, by position. */
  readonly read: readonly Axis[];
  readonly summed: readonly SummedAxis[];
}

/** What is known of what a new value does to its stream. */
export type Mixing = (LinearMixing & { readonly kind: "linear" }) | UnknownMixing;

/** A sum of parts, with the axes of the stream's new value. */
export interface LinearMixing {
  readonly stream: Tensor;
  readonly parts: readonly MixPart[];
  /** The positions of the stream's axes that some part does not leave as they are. */
  readonly mixed: readonly number[];
  /** What the names of the connection stand for, and those of the blocks that were followed. */
  readonly definitions: ReadonlyMap<Tensor, Typed>;
}

/** That something else is done with a stream than mixing it. */
export interface UnknownMixing {
  readonly kind: "unknown";
  /** What is done with the stream, as the end of "…: ". */
  readonly reason: string;
  readonly span: Span;
}

/** A value of the connection. */
type Carried =
  | { readonly kind: "free" }
  | { readonly kind: "linear"; readonly parts: readonly MixPart[] }
  | UnknownMixing;

/** More parts than this are not held against each other. */
const MOST_PARTS = 128;

const free: Carried = { kind: "free" };

/** What the value that a stream is given does to it. */
export function mixingOf(value: Typed, stream: Tensor): Mixing {
  const definitions = new Map<Tensor, Typed>();
  const carried = read({ held: heldIn(value, stream), stream, definitions, values: new Map() }, value);
  if (carried.kind === "unknown") return carried;
  const parts = carried.kind === "free" ? [] : carried.parts;
  const isSummed = ({ summed }: MixPart, axis: Axis): boolean => summed.some((bound) => bound.axis === axis);
  const mixed = new Set<number>();
  for (const part of parts) {
    for (const [i, axis] of part.read.entries()) {
      const streamAxis = mustAt(stream.axes, i);
      if (axis === streamAxis) continue;
      const { name } = streamAxis;
      if (!isSummed(part, axis))
        return { kind: "unknown", reason: `the stream's axis \`${name}\` is moved to another place`, span: value.span };
      mixed.add(i);
    }
  }
  return { kind: "linear", stream, parts, mixed: [...mixed].sort((a, b) => a - b), definitions };
}

/** Whether a stream is passed on as it is. */
export function isIdentity(mixing: Mixing): boolean {
  if (mixing.kind !== "linear" || mixing.mixed.length > 0) return false;
  const [part, ...others] = mixing.parts;
  return others.length === 0 && part?.factors.length === 0 && part.summed.length === 0;
}

/**
 * Why the mixes of several connections cannot be multiplied as matrices over one axis, which is how they are watched
 * while training; null when they can.
 */
export function unwatched(mixings: readonly Mixing[]): string | null {
  const axes = new Set(mixings.flatMap((mixing) => (mixing.kind === "linear" ? mixing.mixed : [])));
  return axes.size > 1 ? "the connections of this stream mix more than one of its axes" : null;
}

/** The position of the axis that these connections mix; null where they mix none. */
export const laneOf = (mixings: readonly Mixing[]): number | null =>
  mixings.flatMap((mixing) => (mixing.kind === "linear" ? mixing.mixed : []))[0] ?? null;

/** What gives a stream a new value. */
export type Applied = Extract<Statement, { readonly stream: Tensor }>;

/** The readings of every new value that streams are given, those of a layer once, in the order of the page. */
export function mixingsIn(statements: readonly Statement[]): ReadonlyMap<Applied, Mixing> {
  const mixings = new Map<Applied, Mixing>();
  const visit = (statement: Statement): void => {
    statementsIn(statement).forEach(visit);
    if ("stream" in statement) mixings.set(statement, mixingOf(statement.value, statement.stream));
  };
  statements.forEach(visit);
  return mixings;
}

/** A connection that is being read. */
interface MixReading {
  readonly stream: Tensor;
  /** Calls whose results are held. */
  readonly held: ReadonlySet<Typed>;
  readonly definitions: Map<Tensor, Typed>;
  /** What the names of the connection and of its blocks do to the stream. */
  readonly values: Map<Tensor, Carried>;
}

const unknown = (reason: string, { span }: Typed): UnknownMixing => ({ kind: "unknown", reason, span });

const minusOne = (span: Span): Coefficient => coefficient({ kind: "number", value: -1, span });

/** The value of what may not carry the stream at all. */
function apart(reading: MixReading, e: Typed, reason: string): Carried {
  const carried = partsOf(e)
    .map((part) => read(reading, part))
    .find(({ kind }) => kind !== "free");
  if (!carried) return free;
  return carried.kind === "unknown" ? carried : unknown(reason, e);
}

function read(reading: MixReading, e: Typed): Carried {
  switch (e.kind) {
    case "number":
    case "size":
    case "scalar":
    case "position":
      return free;
    // What a map makes of the stream is held.
    case "map":
      return free;
    case "tensor": {
      if (e.tensor === reading.stream) return { kind: "linear", parts: [{ factors: [], read: e.axes, summed: [] }] };
      return renamed(reading.values.get(e.tensor) ?? free, e.tensor.axes, e.axes);
    }
    case "relabel":
      return renamed(read(reading, e.a), e.from, e.axes);
    case "gather":
      return readGather(reading, e);
    case "unary":
      return readUnary(reading, e);
    case "random":
      // What is added does not depend on the stream; what is dropped is another factor at every step.
      return e.f === "noise" ? read(reading, e.a) : apart(reading, e, "`dropout` drops numbers of the stream");
    case "binary":
      return e.f === "+" || e.f === "-"
        ? readSum(e, read(reading, e.a), read(reading, e.b))
        : apart(reading, e, `\`${e.f}\` is taken of the stream`);
    case "product":
      return readProduct(reading, e);
    case "reduce":
      return readReduction(reading, e);
    case "where":
    case "choice":
      return apart(reading, e, "a condition depends on the stream");
    case "shifted":
      return readShifted(reading, e);
    case "call":
      return readCall(reading, e);
    case "distance":
      return apart(reading, e, "a distance is taken of the stream");
    case "cross_entropy":
      return apart(reading, e, "a loss is taken of the stream");
    default:
      return e satisfies never;
  }
}

/** One lane is the sum of all, of which a coefficient leaves that one: `x[0, t, w]`. */
function readShifted(reading: MixReading, e: TypedOf<"shifted">): Carried {
  const elsewhere = "the stream is read at other places";
  const value = read(reading, e.a);
  if (value.kind !== "linear") return value;
  const chosen = new Map<Axis, number>();
  const names: (readonly [from: Axis, to: Axis])[] = [];
  for (const [i, { offset, terms }] of e.at.entries()) {
    const axis = mustAt(e.from, i);
    const [term, ...others] = terms;
    if (offset.depths || others.length > 0 || e.recurs) return unknown(elsewhere, e);
    if (!term) chosen.set(axis, offset.value());
    else if (offset.value() === 0 && term.step.value() === 1) names.push([axis, term.axis]);
    else return unknown(elsewhere, e);
  }
  const one = summedOver(
    times(
      value,
      Array.from(chosen, ([axis, place]) => coefficient(indicator(axis, place, e.span))),
    ),
    [...chosen.keys()],
  );
  const [from, to] = [names.map(([axis]) => axis), names.map(([, axis]) => axis)];
  return renamed(one, from, to);
}

/** 1 at one position along an axis, 0 elsewhere. */
const indicator = (axis: Axis, place: number, span: Span): Typed => ({
  kind: "where",
  a: { kind: "number", value: 1, span },
  condition: {
    kind: "binary",
    f: "==",
    a: { kind: "position", axis, span },
    b: { kind: "number", value: place, span },
    span,
  },
  span,
});

/** A value through which no gradient goes is passed on as it is. */
function readUnary(reading: MixReading, e: TypedOf<"unary">): Carried {
  if (e.f === "stop") return read(reading, e.a);
  return e.f === "neg"
    ? times(read(reading, e.a), [minusOne(e.span)])
    : apart(reading, e, `\`${e.f}\` is taken of the stream`);
}

function readGather(reading: MixReading, e: TypedOf<"gather">): Carried {
  const table = e.table === reading.stream ? "linear" : (reading.values.get(e.table)?.kind ?? "free");
  return table === "free"
    ? apart(reading, e, "rows of a table are chosen by the stream")
    : unknown("the stream is looked up in by number", e);
}

function readSum(e: TypedOf<"binary">, a: Carried, b: Carried): Carried {
  if (a.kind === "unknown") return a;
  const second = e.f === "-" ? times(b, [minusOne(e.span)]) : b;
  if (second.kind === "unknown" || a.kind === "free") return second;
  if (second.kind === "free") return a;
  const parts = [...a.parts, ...second.parts];
  return parts.length > MOST_PARTS
    ? unknown(`the stream stands in more than ${MOST_PARTS} parts`, e)
    : { kind: "linear", parts };
}

function readProduct(reading: MixReading, e: TypedOf<"product">): Carried {
  const carried = e.factors
    .map((factor) => ({ ...factor, value: read(reading, factor.e) }))
    .filter(({ value }) => value.kind !== "free");
  const [first, second] = carried;
  if (!first) return free;
  const stopped = carried.find(({ value }) => value.kind === "unknown");
  if (stopped) return stopped.value;
  if (second) return unknown("the stream is multiplied by what is computed from it, and not held", e);
  if (first.inverse) return unknown("the stream is divided by", first.e);
  const factors = e.factors
    .filter((factor) => factor.e !== first.e)
    .map((factor) => coefficient(factor.e, factor.inverse));
  return summedOver(times(first.value, factors), e.summed);
}

function readReduction(reading: MixReading, e: TypedOf<"reduce">): Carried {
  if (e.f !== "sum" && e.f !== "mean") return apart(reading, e, `\`${e.f}\` is taken of the stream`);
  const guarded = e.a.kind === "where" ? e.a : null;
  if (guarded && read(reading, guarded.condition).kind !== "free")
    return unknown("a condition depends on the stream", guarded.condition);
  const value = read(reading, guarded ? guarded.a : e.a);
  if (value.kind !== "linear") return value;
  if (guarded && e.f === "mean")
    return unknown("a mean is taken of those parts of the stream that a condition lets through", e);
  const unit: Typed = { kind: "number", value: 1, span: e.span };
  const mask = guarded
    ? [coefficient({ kind: "where", a: unit, condition: guarded.condition, span: guarded.span })]
    : [];
  const share = e.f === "mean" ? e.axes.map(({ size }) => coefficient({ kind: "size", size, span: e.span }, true)) : [];
  return summedOver(times(value, [...mask, ...share]), e.axes);
}

function readCall(reading: MixReading, e: TypedOf<"call">): Carried {
  const { held, values, definitions } = reading;
  if (held.has(e)) return free;
  const { formals, body, result, axes } = e.instance;
  let isFree = true;
  for (const [i, arg] of e.args.entries()) {
    const formal = mustAt(formals, i);
    const value = read(reading, arg);
    isFree &&= value.kind === "free";
    values.set(formal, value);
    definitions.set(formal, arg);
  }
  if (isFree) return free;
  for (const { tensor, value, recurrence } of body) {
    if (recurrence) {
      values.set(tensor, unknown("it runs through a recurrence", value));
      continue;
    }
    values.set(tensor, read(reading, value));
    definitions.set(tensor, value);
  }
  return renamed(read(reading, result), axes, e.axes);
}

/** An expression under its own names. */
function coefficient(e: Typed, inverse = false): Coefficient {
  return { e, names: new Map(axesOf(e).map((axis) => [axis, axis])), inverse };
}

/** Every part times some coefficients. */
const times = (value: Carried, factors: readonly Coefficient[]): Carried =>
  eachPart(value, (part) => ({ ...part, factors: [...part.factors, ...factors] }));

const eachPart = (value: Carried, change: (part: MixPart) => MixPart): Carried =>
  value.kind === "linear" ? { kind: "linear", parts: value.parts.map(change) } : value;

/** A part under other names of its axes. */
function calledBy(part: MixPart, name: (axis: Axis) => Axis): MixPart {
  const factors = part.factors.map((factor) => ({
    ...factor,
    names: new Map([...factor.names].map(([axis, here]) => [axis, name(here)])),
  }));
  return { factors, read: part.read.map(name), summed: part.summed };
}

const anew = ({ name, size }: Axis): Axis => ({ name, size });

/** A sum over axes, which go by new names from here on, so that no other use of theirs is meant. */
function summedOver(value: Carried, axes: readonly Axis[]): Carried {
  if (axes.length === 0) return value;
  return eachPart(value, (part) => {
    const names = new Map(axes.map((axis) => [axis, anew(axis)]));
    const renamedPart = calledBy(part, (axis) => names.get(axis) ?? axis);
    return { ...renamedPart, summed: [...part.summed, ...[...names].map(([of, axis]) => ({ axis, of }))] };
  });
}

/** The same value under other names of its axes. What is summed in it gets names of its own for every use. */
function renamed(value: Carried, from: readonly Axis[], to: readonly Axis[]): Carried {
  return eachPart(value, (part) => {
    const names = new Map([
      ...from.map((axis, i) => [axis, mustAt(to, i)] as const),
      ...part.summed.map(({ axis }) => [axis, anew(axis)] as const),
    ]);
    const renamedPart = calledBy(part, (axis) => names.get(axis) ?? axis);
    return { ...renamedPart, summed: part.summed.map(({ axis, of }) => ({ axis: mustGet(names, axis), of })) };
  });
}
