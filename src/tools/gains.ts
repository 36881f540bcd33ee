/**
 * Which numbers of a stream its gain is measured at: every lane (the stream's first axis), in every composite, at
 * places of its other axes that are drawn. A run measures one for every example of a batch, so that all of them take a
 * few runs.
 */
import { valueAt } from "../../runtime/records.js";
import type { Entry, TensorRef } from "../../runtime/plan.js";
import { depthInput, placeInput } from "../step/gains.js";
import { even } from "./states.js";

export interface Probed {
  readonly stream: string;
  /** Sizes of the stream's axes. */
  readonly shape: readonly number[];
  readonly connections: number;
  readonly batch: number;
}

/** The streams that an entry measures. */
export function probedOf(entry: Entry): readonly Probed[] {
  return Object.keys(entry.outputs).flatMap((name): readonly Probed[] => {
    const stream = /^gain:(.*):rows$/.exec(name)?.[1];
    if (stream === undefined) return [];
    const [batch, connections] = valueAt(entry.inputs, depthInput(stream))?.shape ?? [1, 0];
    const shape: number[] = [];
    const next = (): TensorRef | undefined => valueAt(entry.inputs, placeInput(stream, shape.length));
    for (let input = next(); input; input = next()) shape.push(input.shape[1]!);
    return [{ stream, shape, connections: connections!, batch: batch! }];
  });
}

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
  const all = depths.flatMap((depth) => Array.from({ length: lanes }, (_, lane) => ({ depth, lane })));
  const runs = Math.ceil(all.length / batch);
  return Array.from({ length: runs }, (_, run) => {
    const inputs = new Map([
      [depthInput(stream), new Float32Array(batch * connections)],
      ...shape.map((size, axis) => [placeInput(stream, axis), new Float32Array(batch * size)] as const),
    ]);
    for (let example = 0; example < batch; example++) {
      const at = run * batch + example;
      // What is left of the last run begins anew, elsewhere.
      const { depth, lane } = all[at % all.length]!;
      inputs.get(depthInput(stream))![example * connections + depth] = 1;
      shape.forEach((size, axis) => {
        const place = axis === 0 ? lane : Math.floor(even(axis + 1, at) * size);
        inputs.get(placeInput(stream, axis))![example * size + place] = 1;
      });
    }
    return inputs;
  });
}
