/** Random values of the language, right by construction: each has no axes but those that it may have. */
import type { Chooser } from "./chooser.js";

/** An axis: its name, and the size that it has in common with others. */
export interface Axis {
  readonly name: string;
  /** The name of the size; axes of one size index the same tensors. */
  readonly of: string;
  readonly size: number;
}

/** A tensor that a value may read. */
export interface Readable {
  readonly name: string;
  readonly axes: readonly Axis[];
}

/** What a value is made in. */
export interface Place {
  readonly chooser: Chooser;
  readonly axes: readonly Axis[];
  readonly tensors: readonly Readable[];
  /** Names of numbers. */
  readonly numbers: readonly string[];
  /** Whether derivatives are held against differences, so that there are no corners and no steps. */
  readonly smooth: boolean;
}

/** The place with other axes that values may have. */
type At = Place & { readonly free: readonly Axis[] };

const CONSTANTS = ["0.5", "1", "2", "-0.7", "1.3", "0.25"];

/** Functions without corners whose values stay moderate, of a value `e`. */
const SMOOTH: readonly ((e: string) => string)[] = [
  (e) => `tanh(${e})`,
  (e) => `sin(${e})`,
  (e) => `cos(${e})`,
  (e) => `sigmoid(${e})`,
  (e) => `gelu(tanh(${e}))`,
  (e) => `silu(${e})`,
  (e) => `softplus(${e})`,
  (e) => `erf(${e})`,
  (e) => `exp(tanh(${e}))`,
  (e) => `sqrt(1 + tanh(${e}) ^ 2)`,
  (e) => `log(1.5 + tanh(${e}))`,
  (e) => `-${e}`,
  (e) => `logit(0.1 + 0.8 * sigmoid(${e}))`,
  (e) => `dropout(${e}, 0.2)`,
  (e) => `noise(${e}, 0.1)`,
  (e) => `atan2(tanh(${e}), 2)`,
];

/** Continuous ones with corners, and one that no difference sees through. */
const CORNERED: readonly ((e: string) => string)[] = [
  (e) => `relu(${e})`,
  (e) => `abs(${e})`,
  (e) => `stop(${e})`,
  (e) => `max(${e}, 0.1)`,
  (e) => `min(${e}, 0.3)`,
];

/** The axes of a size among some. */
const ofSize = (axes: readonly Axis[], { of }: Axis): readonly Axis[] => axes.filter((axis) => axis.of === of);

/** An index of an axis that is always there: one of the free axes that are left, or a whole number. */
function inside({ chooser }: At, axis: Axis, left: Axis[]): string {
  const same = ofSize(left, axis);
  if (same.length === 0 || chooser.below(12) === 11) return `${chooser.below(axis.size)}`;
  const taken = chooser.one(same);
  left.splice(left.indexOf(taken), 1);
  return chooser.below(12) === 11 ? `size(${taken.name}) - 1 - ${taken.name}` : taken.name;
}

/** A tensor read at places that are there. `must`: an axis that it has to be read along. */
export function read(at: At, must?: Axis): string {
  const { chooser, tensors, free } = at;
  const able = tensors.filter(({ axes }) => !must || axes.some((axis) => axis.of === must.of));
  if (able.length === 0) return number(at);
  const { name, axes } = chooser.one(able);
  if (axes.length === 0) return name;
  const left = free.filter((axis) => axis !== must);
  const where = must ? axes.findIndex((axis) => axis.of === must.of) : -1;
  return `${name}[${axes.map((axis, i) => (must && i === where ? must.name : inside(at, axis, left))).join(", ")}]`;
}

/** A tensor read at places of which some are outside, with what stands there. */
function shifted(at: At, depth: number): string {
  const { chooser, tensors, free } = at;
  const able = tensors.filter(({ axes }) => axes.some((axis) => axis.size > 1 && ofSize(free, axis).length > 0));
  if (able.length === 0) return read(at);
  const { name, axes } = chooser.one(able);
  const where = axes.findIndex((axis) => axis.size > 1 && ofSize(free, axis).length > 0);
  const moved = chooser.one(ofSize(free, axes[where]!));
  const left = free.filter((axis) => axis !== moved);
  const index = chooser.one([
    `${moved.name} - 1`,
    `${moved.name} + 1`,
    `2 * ${moved.name}`,
    `size(${moved.name}) - ${moved.name}`,
    `2 * ${moved.name} - 1`,
  ]);
  const indices = axes.map((axis, i) => (i === where ? index : inside(at, axis, left)));
  return `(${name}[${indices.join(", ")}] else ${value(at, depth - 1)})`;
}

const number = ({ chooser, numbers }: At): string =>
  numbers.length > 0 && chooser.often(3) ? chooser.one(numbers) : chooser.one(CONSTANTS);

/** What is true at some places: of positions, so that it is the same in every precision. */
function condition({ chooser, free }: At): string {
  const [a, b] = [chooser.one(free), chooser.one(free)];
  const one = chooser.one([
    `index(${a.name}) < ${1 + chooser.below(3)}`,
    `index(${a.name}) <= index(${b.name})`,
    `index(${a.name}) != ${chooser.below(a.size)}`,
    `index(${a.name}) + index(${b.name}) >= 2`,
  ]);
  return chooser.below(6) === 5 ? `${one} and index(${a.name}) > 0` : one;
}

/** A sum, a mean or another reduction along an axis that is not free. */
function reduced(at: At, depth: number): string {
  const { chooser, axes, free, smooth } = at;
  const able = axes.filter((axis) => !free.includes(axis));
  if (able.length === 0) return along(at, depth);
  const axis = chooser.one(able);
  const f = chooser.one(["sum", "mean", "rms", "prod", ...(smooth ? [] : ["max", "min"])]);
  const inner = { ...at, free: [...free, axis] };
  const e = `${read(inner, axis)} * ${value(inner, depth - 1)}`;
  const body = f === "rms" ? `1.5 + tanh(${e})` : f === "prod" ? `1 + 0.5 * tanh(${e})` : e;
  const absent = f !== "rms" && chooser.below(4) === 3 ? ` where index(${axis.name}) >= ${chooser.below(2)}` : "";
  // The largest and the smallest of nothing are infinite.
  const some = axis.size > 1 || f === "sum" ? absent : "";
  return `${f}[${axis.name}](${body}${some})`;
}

/** A reduction that keeps its axis. */
function along(at: At, depth: number): string {
  const { chooser, free } = at;
  if (free.length === 0) return read(at);
  const axis = chooser.one(free);
  const f = chooser.one(["softmax", "log_softmax", "cumsum"]);
  return `${f}[${axis.name}](${read(at, axis)} + ${value(at, depth - 1)})`;
}

/** A product of two tensors over an axis that neither the value nor its left side has. */
function contracted(at: At, depth: number): string {
  const { chooser, axes, free } = at;
  const able = axes.filter((axis) => !free.includes(axis));
  if (able.length === 0) return `${read(at)} * ${value(at, depth - 1)}`;
  const axis = chooser.one(able);
  const inner = { ...at, free: [...free, axis] };
  return `(${read(inner, axis)} * ${read(inner, axis)})`;
}

/** Neighbours along an axis, weighed by a tensor: a convolution, with absent places outside. */
function convolved(at: At, depth: number): string {
  const { chooser, tensors, axes, free } = at;
  const able = tensors.filter((tensor) => tensor.axes.some((axis) => ofSize(free, axis).length > 0));
  if (able.length === 0) return contracted(at, depth);
  const { name, axes: own } = chooser.one(able);
  const where = own.findIndex((axis) => ofSize(free, axis).length > 0);
  const moved = chooser.one(ofSize(free, own[where]!));
  const taps = chooser.one(axes.filter((axis) => !free.includes(axis)).concat([]));
  const left = free.filter((axis) => axis !== moved);
  const stride = chooser.one(["", "2 * "]);
  const index = `${stride}${moved.name} + ${taps.name} - ${chooser.below(taps.size)}`;
  const indices = own.map((axis, i) => (i === where ? index : inside(at, axis, left)));
  return `sum[${taps.name}](${name}[${indices.join(", ")}] * ${read({ ...at, free: [taps] }, taps)})`;
}

/** Any value with no axes but `free`, of nested operations at most `depth` deep. */
export function value(at: At, depth: number): string {
  const { chooser, axes, free, smooth } = at;
  if (depth <= 0) return read(at);
  const inner = (): string => value(at, depth - 1);
  const able = axes.some((axis) => !free.includes(axis));
  switch (chooser.below(14)) {
    case 0:
    case 1:
      return read(at);
    case 2:
      return `(${inner()} + ${inner()})`;
    case 3:
      return `${chooser.one(["tanh", "sin"])}(${inner()} * ${inner()})`;
    case 4:
      return chooser.one(SMOOTH)(inner());
    case 5:
      return smooth ? chooser.one(SMOOTH)(inner()) : chooser.one(CORNERED)(inner());
    case 6:
      return `(${inner()} - ${number(at)})`;
    case 7:
      return `tanh(${inner()}) / (1.5 + tanh(${inner()}))`;
    case 8:
      return shifted(at, depth);
    case 9:
      return free.length === 0 ? inner() : `(${inner()} where ${condition(at)} else ${inner()})`;
    case 10:
      return reduced(at, depth);
    case 11:
      return along(at, depth);
    case 12:
      return able ? convolved(at, depth) : inner();
    default:
      return contracted(at, depth);
  }
}

/** A value with the axes of a left side. */
export const valueOf = (place: Place, free: readonly Axis[], depth: number): string => value({ ...place, free }, depth);
