/** What random pages are held against: the f64 evaluation of their graphs, and differences of it. */
import { load } from "../../runtime/index.js";
import type { BuiltInDevice } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import type { Plan } from "../../runtime/plan.js";
import { check, compile, type Optimization } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { sizeOf } from "../../src/graph/record.js";
import { topological } from "../../src/graph/topology.js";
import { emulated } from "../../src/schedule/families.js";
import { buildEntries } from "../../src/step/entries.js";
import type { Page } from "./pages.js";

type Values = ReadonlyMap<string, readonly number[]>;

/** Numbers of both signs and no pattern, below 1. */
const spread = (size: number, which: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.fround(0.9 * Math.sin(1 + 5 * which + 1.7 * i)));

/** The entries of a page. Throws an Error with what is wrong with it. */
export function graphsOf(text: string): ReadonlyMap<string, Graph> {
  const { model, diagnostics } = check(text, { file: "page.mhc" });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (!model || errors.length > 0)
    throw new Error(`${errors.map(({ code, message }) => `${code} ${message}`).join("\n")}\n${text}`);
  return new Map(buildEntries(model, { monitors: false }).graphs.map((graph) => [graph.name, graph]));
}

/** Values for all leaves of graphs but the parameters that are known; whole numbers are places of a table. */
function valuesFor(graphs: readonly Graph[], known: Values): Values {
  const values = new Map<string, readonly number[]>();
  const leaves = topological(graphs.flatMap(({ outputs }) => [...outputs.values()])).filter(
    (node): node is Extract<Node, { readonly op: "input" | "parameter" }> =>
      node.op === "input" || node.op === "parameter",
  );
  for (const [which, { attrs, shape, dtype }] of leaves.entries()) {
    const size = sizeOf(shape);
    const drawn = dtype === "u32" ? Array.from({ length: size }, (_, i) => i % 2) : spread(size, which);
    values.set(attrs.name, known.get(attrs.name) ?? drawn);
  }
  return values;
}

/** The largest derivative along a direction that is not that of differences: its leaf, and both. Null where all are. */
export function wrongDerivative({ text, trains }: Page): string | null {
  const graphs = graphsOf(text);
  const [forward, backward] = [graphs.get(trains ? "loss" : "forward"), graphs.get(trains ? "gradients" : "vjp")];
  if (!forward || !backward) throw new Error(`there are no entries to differentiate\n${text}`);
  const values = valuesFor([forward, backward], new Map());
  const total = (at: Values): number => {
    const found = evaluate(forward, at).outputs;
    if (trains) return mean([...(found.get("losses") ?? [])]);
    return [...found].reduce((sum, [name, out]) => sum + dot([...out], values.get(`cotangent:${name}`) ?? []), 0);
  };
  for (const [key, slopes] of evaluate(backward, values).outputs) {
    const [kind, name = ""] = key.split(":");
    const leaf = values.get(name);
    if (kind === "loss" || !leaf) continue;
    const direction = spread(leaf.length, 3);
    const exact = dot([...slopes], direction);
    const moved = (by: number): Values =>
      new Map([...values, [name, leaf.map((value, i) => value + by * (direction[i] ?? 0))] as const]);
    const scale = 1 + Math.abs(exact) + dot([...slopes].map(Math.abs), direction.map(Math.abs));
    const off = [1e-4, 1e-5, 1e-6].map((h) => {
      const slope = (total(moved(h)) - total(moved(-h))) / (2 * h);
      return Math.abs(slope - exact) / scale;
    });
    // NaN is wrong, too.
    if (!off.some((each) => each < 1e-6)) return `${key} is ${exact}, which is off by ${Math.min(...off)}\n${text}`;
  }
  return null;
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;

const parametersOf = ({ parameters }: Plan): Values =>
  new Map(parameters.map((info) => [info.name, [...initialValues(info, 1)]]));

/** What a device is asked of a page. */
export interface OnDevice {
  readonly device: BuiltInDevice;
  readonly without?: readonly Optimization[];
}

/** What a device makes of a page that differs from f64; null when nothing does. */
export async function wrongOn(page: Page, { device, without = [] }: OnDevice): Promise<string | null> {
  const { text, trains } = page;
  const { plan, diagnostics } = await compile(text, {
    file: "page.mhc",
    devices: [device],
    choices: device === "webgpu" ? { webgpu: emulated } : {},
    without,
    verify: true,
  });
  if (!plan) throw new Error(`${diagnostics.map(({ message }) => message).join("\n")}\n${text}`);
  const graphs = graphsOf(text);
  const [forward, backward] = [graphs.get(trains ? "loss" : "forward"), graphs.get(trains ? "gradients" : "vjp")];
  if (!forward || !backward) throw new Error(`there are no entries\n${text}`);
  const values = valuesFor([forward, backward], parametersOf(plan));
  const model = await load(plan, { device, threads: 2, seed: 1 });
  try {
    const fed = Object.fromEntries(
      [...values].flatMap(([name, list]) =>
        name.startsWith("cotangent:") || plan.parameters.some((info) => info.name === name)
          ? []
          : [[name, name.endsWith(".label") ? Uint32Array.from(list) : Float32Array.from(list)] as const],
      ),
    );
    const exact = evaluate(backward, values).outputs;
    if (trains) {
      const { loss, gradients } = await model.gradients(fed);
      const found = Object.entries(gradients).map(([name, list]) => [`gradient:${name}`, list] as const);
      return differing([...found, ["loss", [loss]]], exact, page);
    }
    const cotangents = [...values].flatMap(([name, list]) =>
      name.startsWith("cotangent:") ? [[name.slice("cotangent:".length), Float32Array.from(list)] as const] : [],
    );
    const made = differing(Object.entries(await model.forward(fed)), evaluate(forward, values).outputs, page);
    const slopes = await model.vjp(fed, Object.fromEntries(cotangents));
    const ofInputs = Object.entries(slopes.inputs).map(([name, list]) => [`cotangent:${name}`, list] as const);
    const ofParameters = Object.entries(slopes.parameters).map(([name, list]) => [`gradient:${name}`, list] as const);
    return made ?? differing([...ofInputs, ...ofParameters], exact, page);
  } finally {
    await model.close();
  }
}

/** The first of the numbers that are not the exact ones but for rounding. */
function differing(
  found: readonly (readonly [string, ArrayLike<number>])[],
  exact: ReadonlyMap<string, ArrayLike<number>>,
  { text }: Page,
): string | null {
  const all = [...exact.values()].flatMap((list) => Array.from(list, Math.abs));
  // A difference of nearly equal numbers has no relative accuracy: errors are compared to the largest number.
  const scale = all.reduce((most, value) => Math.max(most, value), 1);
  for (const [name, list] of found) {
    const wanted = exact.get(name);
    if (!wanted || wanted.length !== list.length) return `${name} has ${list.length} numbers\n${text}`;
    for (let i = 0; i < list.length; i++) {
      const off = Math.abs((list[i] ?? 0) - (wanted[i] ?? 0)) / scale;
      if (!(off < 1e-4)) return `${name}[${i}] is ${list[i]}, and ${wanted[i]} in f64\n${text}`;
    }
  }
  return null;
}
