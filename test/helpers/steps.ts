/** Whole training steps on a device against the unfused f64 evaluation of the same graph. */
import { evaluate } from "../../src/graph/evaluate.js";
import type { Facts } from "../../src/compile/compile.js";
import { sourceOfText } from "../../runtime/batches.js";
import type { DeviceName } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import { load } from "../../runtime/index.js";
import { distance, entriesOf, planOf, type SpecOptions } from "./specs.js";

const STEPS = 10;

/** Largest relative differences of ten losses, and of the parameters after them. */
export async function compareSteps(
  page: string,
  text: string,
  facts: Facts,
  device: DeviceName,
  threads: number,
  batch = 5,
  choices: SpecOptions["choices"] = {},
): Promise<{ readonly losses: number; readonly parameters: number; readonly fell: boolean }> {
  const plan = await planOf(page, [device], { facts, choices });
  const { graphs } = entriesOf(page, { facts });
  const graph = graphs.find(({ name }) => name === "train")!;
  const [info] = plan.data;
  const source = sourceOfText(info!, text);
  if (!source) throw new Error(`data of the kind ${info!.kind} is no text`);
  const model = await load(plan, { device, threads });
  const values = new Map<string, ArrayLike<number>>(
    plan.parameters.map((info) => [info.name, initialValues(info, model.seed)]),
  );
  for (const { name, shape } of plan.states) values.set(name, new Float64Array(shape.reduce((size, n) => size * n, 1)));
  const start = graphs.find(({ name }) => name === "start");
  if (start) evaluate(start, values).updates.forEach((value, name) => values.set(name, value));
  const exact: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const { outputs, updates } = evaluate(
      graph,
      new Map([
        ...values,
        ...Object.entries(source.batch(batch, model.seed, step)),
        ["step", [step]],
        ["seed", [model.seed]],
      ]),
    );
    exact.push(outputs.get("loss")![0]!);
    updates.forEach((value, name) => values.set(name, value));
  }
  const found: number[] = [];
  for await (const { loss } of model.train(source, { steps: STEPS })) found.push(loss);
  let worst = 0;
  for (const [name, { get }] of Object.entries(model.parameters()))
    worst = Math.max(worst, distance(await get(), values.get(name)!));
  await model.close();
  return {
    losses: Math.max(...found.map((loss, i) => Math.abs(loss - exact[i]!) / exact[i]!)),
    parameters: worst,
    fell: exact[STEPS - 1]! < exact[0]!,
  };
}
