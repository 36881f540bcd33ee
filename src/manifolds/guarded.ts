/**
 * A user's set with its functions watched, so that what one throws, or gives in a wrong shape, is said in the words of
 * `set.ts` with the set's name, wherever in the compiler it is called.
 */
import type { Node } from "../graph/node.js";
import { sameShape } from "../graph/record.js";
import type { Polynomial } from "../graph/sizes.js";
import { valueAt } from "../../runtime/records.js";
import { rankOf, type ConstraintSet, type Manifold, type Options, type Parts } from "./set.js";

/** A function of a user's set has failed, or gave what it must not. */
export class OwnSetError extends Error {
  constructor(
    readonly set: string,
    message: string,
  ) {
    super(message);
  }
}

/** The set with its functions watched: what one throws, or gives in a wrong shape, is an OwnSetError that names it. */
export function guarded(set: ConstraintSet): ConstraintSet {
  const watched = {
    ...watchedDescriptions(set),
    ...watchedMaps(set),
    ...(set.parts ? { parts: watchedParts(set, set.parts) } : {}),
  };
  return set.kind === "manifold" ? { ...set, ...watched, ...watchedGeometry(set) } : { ...set, ...watched };
}

/** Throws what is wrong with a function of the set. */
function failed(set: ConstraintSet, field: string, message: string): never {
  throw new OwnSetError(set.name, `\`${field}\` of \`${set.name}\` ${message}`);
}

/** What `part`, a call of a function of the set, gives. */
function called<T>(set: ConstraintSet, field: string, part: () => T): T {
  try {
    return part();
  } catch (error) {
    return failed(set, field, `failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A node of f32 of the shape `wanted`, as a function of the set gives it. */
function givenNode(set: ConstraintSet, field: string, wanted: readonly number[], part: () => Node): Node {
  const node: unknown = called(set, field, part);
  if (!isNode(node)) return failed(set, field, "must give a node of the graph");
  return node.dtype === "f32" && sameShape(node.shape, wanted)
    ? node
    : failed(set, field, `gave ${node.dtype} [${node.shape.join(", ")}] for [${wanted.join(", ")}]`);
}

/** What a function of the set gives, when `isFine` says that it may; `what` says what it must give. */
function givenValue<T>(
  set: ConstraintSet,
  field: string,
  part: () => T,
  isFine: (value: T) => boolean,
  what: string,
): T {
  const value = called(set, field, part);
  return isFine(value) ? value : failed(set, field, `must give ${what}`);
}

/** The functions that describe the set: coordinates, start, tolerance, bounds, options. */
function watchedDescriptions(
  set: ConstraintSet,
): Pick<ConstraintSet, "free" | "start" | "tolerance" | "bound" | "adapts"> & Required<Pick<ConstraintSet, "idle">> {
  return {
    free: (point, options) => watchedFree(set, point, options),
    start: (options) =>
      givenValue(
        set,
        "start",
        () => set.start(options),
        (start) => isRecord(start) && STARTS.includes(start.kind) && Number.isFinite(start.value),
        '{ kind: "identity", "constant", "first" or "normal", value }',
      ),
    tolerance: (options) =>
      givenValue(
        set,
        "tolerance",
        () => set.tolerance(options),
        (tolerance) => tolerance === null || (Number.isFinite(tolerance) && tolerance >= 0),
        "a number of at least 0, or null",
      ),
    bound: (of, shape, options) =>
      givenValue(
        set,
        "bound",
        () => set.bound(of, shape, options),
        (bound) => (typeof bound === "number" ? bound >= 0 : isRecord(bound) && typeof bound.none === "string"),
        'a number, or { none: "has no …" }',
      ),
    adapts: (options) =>
      givenValue(
        set,
        "adapts",
        () => set.adapts(options),
        (names) => Array.isArray(names) && names.every((name: unknown) => isAdaptable(set, name)),
        'names of options of the kind "real", and "rank" of a set with `parts`',
      ),
    idle: (options) =>
      givenValue(
        set,
        "idle",
        () => set.idle?.(options) ?? [],
        (names) => Array.isArray(names) && names.every((name: unknown) => isOption(set, name)),
        "names of options",
      ),
  };
}

const STARTS: readonly string[] = ["identity", "constant", "first", "normal"];

const isOption = (set: ConstraintSet, name: unknown): boolean =>
  typeof name === "string" && Object.hasOwn(set.options, name);

const isAdaptable = (set: ConstraintSet, name: unknown): boolean =>
  typeof name === "string" &&
  (valueAt(set.options, name)?.kind === "real" || (name === "rank" && set.parts !== undefined));

function watchedFree(
  set: ConstraintSet,
  point: readonly Polynomial[],
  options: Options,
): ReturnType<ConstraintSet["free"]> {
  const pieces = called(set, "free", () => set.free(point, options));
  if (isRecord(pieces)) {
    const isReason = "error" in pieces && typeof pieces.error === "string";
    return isReason ? pieces : failed(set, "free", "must give a list of pieces, or { error }");
  }
  if (Array.isArray(pieces) && pieces.every(isPiece)) return pieces;
  return failed(
    set,
    "free",
    "must give pieces { name, shape }, a shape of sizes: those of `point`, or `sizes.known(3)`",
  );
}

const isPiece = (piece: unknown): boolean =>
  isRecord(piece) && typeof piece["name"] === "string" && Array.isArray(piece["shape"]) && piece["shape"].every(isSize);

/** The shape of what is one number a point: [...]. */
const shapeOfPoints = (set: ConstraintSet, x: Node): readonly number[] =>
  x.shape.slice(0, x.shape.length - rankOf(set.point));

const watchedMaps = (set: ConstraintSet): Pick<ConstraintSet, "map" | "project" | "violation"> => ({
  map: (b, free, shape, setting) => givenNode(set, "map", shape, () => set.map(b, free, shape, setting)),
  project: (b, value, setting) => givenNode(set, "project", value.shape, () => set.project(b, value, setting)),
  violation: (b, value, setting) =>
    givenNode(set, "violation", shapeOfPoints(set, value), () => set.violation(b, value, setting)),
});

/** How many parts there are is the set's to say, so their shapes are not looked at. */
function watchedParts(set: ConstraintSet, { sizes, pull, gated }: Parts): Parts {
  const part = (field: string, make: () => Node): Node => {
    const node: unknown = called(set, field, make);
    return isNode(node) ? node : failed(set, field, "must give a node of the graph");
  };
  return {
    sizes: (b, free) => part("parts.sizes", () => sizes(b, free)),
    pull: (b, free) => part("parts.pull", () => pull(b, free)),
    gated: (b, free, gates) => called(set, "parts.gated", () => gated(b, free, gates)),
  };
}

/** What a manifold has besides. */
function watchedGeometry(
  set: Manifold,
): Pick<Manifold, "tangent" | "gradient" | "inner" | "retract" | "transport" | "distance"> {
  const vector = (field: string, x: Node, part: () => Node): Node => givenNode(set, field, x.shape, part);
  const number = (field: string, x: Node, part: () => Node): Node => givenNode(set, field, shapeOfPoints(set, x), part);
  const { distance } = set;
  return {
    tangent: (b, x, v, setting) => vector("tangent", x, () => set.tangent(b, x, v, setting)),
    gradient: (b, x, g, setting) => vector("gradient", x, () => set.gradient(b, x, g, setting)),
    inner: (b, x, u, v, setting) => number("inner", x, () => set.inner(b, x, u, v, setting)),
    retract: (b, x, v, setting) => vector("retract", x, () => set.retract(b, x, v, setting)),
    transport: (b, x, y, v, setting) => vector("transport", x, () => set.transport(b, x, y, v, setting)),
    distance: distance && ((b, x, y, setting) => number("distance", x, () => distance(b, x, y, setting))),
  };
}

const isNode = (value: unknown): value is Node =>
  isRecord(value) &&
  typeof value["op"] === "string" &&
  Array.isArray(value["shape"]) &&
  typeof value["dtype"] === "string";
const isSize = (value: unknown): value is Polynomial => isRecord(value) && value["kind"] === "polynomial";

/** Whether a value is an object with fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
