/**
 * Which numbers of a stream its gain is measured at: every lane (the stream's first axis), in every composite, at
 * places of its other axes that are drawn. A run measures one for every example of a batch, so that all of them take a
 * few runs.
 */
import type { Entry, Plan, TensorRef } from "../../runtime/plan.js";
import { mustAt } from "../../runtime/lookup.js";
import { mustValue, valueAt } from "../../runtime/records.js";
import { inputId } from "../step/roles.js";
import { even } from "./fills.js";

/** A stream whose gain is measured. */
export interface Probed {
  readonly stream: string;
  /** Sizes of the stream's axes. */
  readonly shape: readonly number[];
  readonly connections: number;
  readonly batch: number;
}

/** The inputs that choose a connection of a stream, and a place along one of its axes. */
const depthOf = (stream: string): string => inputId({ kind: "depth", stream });
const placeOf = (stream: string, axis: number): string => inputId({ kind: "place", stream, axis });

/** The streams that the entry `gain` of a plan measures; none when it has no such entry. */
export function probedOf({ roles }: Pick<Plan, "roles">, { gain }: Readonly<Record<string, Entry>>): readonly Probed[] {
  if (!gain) return [];
  return Object.values(mustValue(roles.entries, "gain").outputs).flatMap((role): readonly Probed[] => {
    if (role.kind !== "rowSum") return [];
    const stream = role.name;
    const [batch = 1, connections = 0] = valueAt(gain.inputs, depthOf(stream))?.shape ?? [];
    const shape: number[] = [];
    const next = (): TensorRef | undefined => valueAt(gain.inputs, placeOf(stream, shape.length));
    for (let input = next(); input; input = next()) shape.push(mustAt(input.shape, 1));
    return [{ stream, shape, connections, batch }];
  });
}

/** A gain of a stream, as metrics have it. */
export interface GainMonitor {
  /** What they call it: `gain:x:forward`. */
  readonly name: string;
  readonly direction: "forward" | "backward";
}

/** The gains that the entry `monitor` of a plan measures. */
export const gainMonitors = ({ roles }: Pick<Plan, "roles">): readonly GainMonitor[] =>
  Object.values(valueAt(roles.entries, "monitor")?.outputs ?? {}).filter(
    (role) => role.kind === "monitor" && role.measure === "gain",
  );

/**
 * Runs that one measurement takes at most: of very deep models some of the composites are left out, the longest never.
 */
const MOST_RUNS = 16;

/** The inputs of every run, by name: ones at what is chosen for an example, zeros elsewhere. */
export function probesOf({ stream, shape, connections, batch }: Probed): readonly ReadonlyMap<string, Float32Array>[] {
  const lanes = shape[0] ?? 1;
  const inner = Math.max(0, connections - 2);
  const kept = Math.min(inner, Math.max(0, Math.floor((MOST_RUNS * batch) / lanes) - 2));
  // The last connection has the longest row, the first the longest column.
  const depths = [
    ...new Set([connections - 1, 0, ...Array.from({ length: kept }, (_, i) => 1 + Math.floor((i * inner) / kept))]),
  ];
  const places = depths.flatMap((depth) => Array.from({ length: lanes }, (_, lane) => ({ depth, lane })));
  const runs = Math.ceil(places.length / batch);
  return Array.from({ length: runs }, (_, run) => {
    const depthInput = new Float32Array(batch * connections);
    const placeInputs = shape.map((size) => new Float32Array(batch * size));
    for (let example = 0; example < batch; example++) {
      const at = run * batch + example;
      // What is left of the last run begins anew, elsewhere.
      const { depth, lane } = mustAt(places, at % places.length);
      depthInput[example * connections + depth] = 1;
      for (const [axis, size] of shape.entries()) {
        const place = axis === 0 ? lane : Math.floor(even(axis + 1, at) * size);
        mustAt(placeInputs, axis)[example * size + place] = 1;
      }
    }
    return new Map([
      [depthOf(stream), depthInput],
      ...placeInputs.map((input, axis) => [placeOf(stream, axis), input] as const),
    ]);
  });
}
