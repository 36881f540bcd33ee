/**
 * Steps of training in f64: the graphs of a page without optimizations, evaluated node by node. What a device computes
 * is compared with this.
 */
import type { Source } from "../../runtime/data.js";
import { initialValues } from "../../runtime/initialize.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Plan } from "../../runtime/plan.js";
import { evaluate } from "../graph/evaluate.js";
import type { Graph } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";

/** What is trained, from where, and for how long. */
export interface ExactSteps {
  /** Its parameters, states and batch. */
  readonly plan: Plan;
  /** The entries that are evaluated: `train`, and `start` where there is one. */
  readonly graphs: readonly Graph[];
  readonly source: Source;
  readonly seed: number;
  readonly steps: number;
}

/** The loss of each step. Throws for a page without a loss. */
export function exactLosses({ plan, graphs, source, seed, steps }: ExactSteps): number[] {
  const graph = graphs.find(({ name }) => name === "train");
  if (!graph || !plan.train) throw new Error(`${plan.name} has no loss to train`);
  const { batch } = plan.train;
  const values = new Map<string, ArrayLike<number>>(
    plan.parameters.map((info) => [info.name, initialValues(info, seed)]),
  );
  for (const { name, shape, start } of plan.states) values.set(name, new Float64Array(sizeOf(shape)).fill(start ?? 0));
  const start = graphs.find(({ name }) => name === "start");
  if (start) evaluate(start, values).updates.forEach((value, name) => values.set(name, value));
  return Array.from({ length: steps }, (_, step) => {
    const fed = Object.entries(source.batch(batch, seed, step));
    const { outputs, updates } = evaluate(graph, new Map([...values, ...fed, ["step", [step]], ["seed", [seed]]]));
    updates.forEach((value, name) => values.set(name, value));
    return mustAt(mustGet(outputs, "loss"), 0);
  });
}
