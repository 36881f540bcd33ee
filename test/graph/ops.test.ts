/**
 * Tests that the op table writes itself: every case of every op against central differences, every composite against
 * its expansion.
 */
import { describe, expect, it } from "vitest";
import { type Builder } from "../../src/graph/builder.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { DType, Graph, Node, Op } from "../../src/graph/node.js";
import { opTable } from "../../src/graph/ops.js";
import { sizeOf, type Case, type OpRecord } from "../../src/graph/record.js";
import { parseGraph, printGraph } from "../../src/graph/text.js";
import { verifyGraph } from "../../src/graph/verify.js";
import { vjp } from "../../src/graph/differentiate.js";
import { expand } from "../../src/passes/expand.js";
import { replace } from "../../src/passes/rewrite.js";
import { legalize } from "../../src/schedule/fusion/legalize.js";
import { allCases, build, random } from "../helpers/cases.js";

/** Ops without a derivative, and why. */
const NOT_DIFFERENTIATED: Readonly<Partial<Record<Op, string>>> = {
  parameter: "a leaf",
  state: "a leaf",
  input: "a leaf",
  lt: "a condition",
  le: "a condition",
  eq: "a condition",
  and: "a condition",
  or: "a condition",
  not: "a condition",
  finite: "a condition",
  threefry: "random bits",
  sinkhorn_vjp: "second derivatives of Sinkhorn are not asked for",
  attention_lse: "made by a derivative, for a derivative",
  attention_vjp: "second derivatives of attention are not asked for",
};

/** Ops that no derivative goes through although their value depends on the operand, and why. */
const CUT: Readonly<Partial<Record<Op, string>>> = { stop: "that is what it is for" };

const ALL = Object.keys(opTable) as Op[];
const DTYPES: readonly DType[] = ["f32", "u32", "bool"];
const LEAVES: ReadonlySet<Op> = new Set(["parameter", "state", "input"]);
const graphOf = (outputs: Readonly<Record<string, Node>>): Graph => ({
  name: "test",
  outputs: new Map(Object.entries(outputs)),
  updates: new Map(),
});

describe("the table", () => {
  it.each(ALL)("%s has cases, and a derivative or a reason", (op) => {
    if (!LEAVES.has(op)) expect(opTable[op].cases.length).toBeGreaterThan(0);
    expect(opTable[op].vjp === null).toBe(op in NOT_DIFFERENTIATED);
  });

  it.each(ALL.filter((op) => !LEAVES.has(op)))("%s has a case for every combination of dtypes that it takes", (op) => {
    const cases = opTable[op].cases as readonly Case[];
    const infer = opTable[op].infer as OpRecord<Op>["infer"];
    const signature = (b: Builder, item: Case, dtypes: readonly DType[]): string | null => {
      const inputs = item.inputs.map(({ shape }, i): Node => {
        const number = b.input(`x${i}`, shape, dtypes[i] === "u32" ? "u32" : "f32");
        return dtypes[i] === "bool" ? b.lt(number, number) : number;
      });
      const inferred = infer(inputs, item.attrs, item.declared ?? {});
      return typeof inferred === "string" ? null : `${dtypes.join(", ")} -> ${inferred.dtype}`;
    };
    const tested = new Set(
      cases.map((item) =>
        signature(
          createBuilder(),
          item,
          item.inputs.map(({ dtype }) => dtype),
        ),
      ),
    );
    expect(tested.has(null), "a case that its own row refuses").toBe(false);
    for (const item of cases) {
      const choices = item.inputs.reduce<DType[][]>(
        (lists) => lists.flatMap((list) => DTYPES.map((dtype) => [...list, dtype])),
        [[]],
      );
      for (const dtypes of choices) {
        const found = signature(createBuilder(), item, dtypes);
        if (found !== null) expect([...tested]).toContain(found);
      }
    }
  });

  it.each(allCases)(
    "$op, case $index: its text reads back as the same graph, and the passes leave it sound",
    ({ op, index, item }) => {
      const b = createBuilder();
      const { node, inputs, values } = build(b, op, item, "x", random(index + 3));
      const tagged = b.make(op, node.inputs, item.attrs, { ...item.declared, site: "layers.0.drop", epoch: 2 });
      const cotangent = b.input("g", node.shape, "f32");
      const back = opTable[op].vjp && node.dtype === "f32" ? vjp(b, [node], [cotangent], inputs) : [];
      const graph = graphOf({ 'a "name"': node, tagged, ...Object.fromEntries(back.map((d, i) => [`d${i}`, d])) });
      const text = printGraph(graph);
      const read = parseGraph(text);
      expect(printGraph(read)).toBe(text);
      const bindings = new Map([
        ...values,
        ["g", Array.from({ length: sizeOf(node.shape) }, (_, i) => Math.sin(i))] as const,
      ]);
      expect(evaluate(read, bindings).outputs).toEqual(evaluate(graph, bindings).outputs);
      for (const made of [graph, read, expand(graph, () => true), legalize(graph), replace(graph, () => null)])
        expect(verifyGraph(made)).toEqual([]);
      expect(printGraph(replace(graph, () => null))).toBe(text);
    },
  );
});

describe("derivatives", () => {
  const isFloat = (op: Op, item: Case): boolean =>
    build(createBuilder(), op, item, "x", random(1)).node.dtype === "f32";
  const cases = allCases.filter(
    ({ op, item }) =>
      opTable[op].vjp !== null && !(op in CUT) && item.inputs.some(({ dtype }) => dtype === "f32") && isFloat(op, item),
  );
  it.each(cases)("$op, case $index, against central differences", ({ op, index, item }) => {
    const next = random(1000 * index + op.length);
    const b = createBuilder();
    const { node, inputs, values } = build(b, op, item, "x", next);
    const weights = Array.from({ length: sizeOf(node.shape) }, () => next() - 0.5);
    const weighted = b.sum(
      b.mul(node, b.input("weights", node.shape, "f32")),
      node.shape.map((_, axis) => axis),
    );
    const found = vjp(b, [weighted], [b.constant(1)], inputs);
    const bindings = new Map([...values, ["weights", weights] as const]);
    const graph = graphOf({ loss: weighted, ...Object.fromEntries(found.map((gradient, i) => [`${i}`, gradient])) });
    const { outputs } = evaluate(graph, bindings);
    const lossAt = (name: string, at: number, shift: number): number => {
      const moved = [...values.get(name)!];
      moved[at]! += shift;
      return evaluate(graphOf({ loss: weighted }), new Map([...bindings, [name, moved] as const])).outputs.get(
        "loss",
      )![0]!;
    };
    inputs.forEach((input, i) => {
      const name = input.op === "input" ? input.attrs.name : "";
      const gradient = outputs.get(`${i}`)!;
      const h = 1e-4;
      // Richardson's extrapolation of the central difference: error of order h^4.
      const central = (at: number, step: number): number =>
        (lossAt(name, at, step) - lossAt(name, at, -step)) / (2 * step);
      const differences = values.get(name)!.map((_, at) => (4 * central(at, h / 2) - central(at, h)) / 3);
      const scale = Math.max(1e-6, ...differences.map(Math.abs), ...Array.from(gradient, Math.abs));
      differences.forEach((difference, at) =>
        expect(Math.abs(difference - gradient[at]!) / scale, `${name}[${at}]`).toBeLessThanOrEqual(1e-6),
      );
    });
  });
});

it.each(Object.keys(CUT) as Op[])("no derivative goes through %s", (op) => {
  const b = createBuilder();
  const { node, inputs } = build(b, op, opTable[op].cases[0]! as Case, "x", random(5));
  const [gradient] = vjp(b, [b.mul(node, node)], [b.input("g", node.shape, "f32")], inputs);
  expect(gradient).toBe(b.fill(0, inputs[0]!.shape));
});

describe("products", () => {
  it("have the derivative of all other factors where a factor is 0, and where two are", () => {
    const b = createBuilder();
    const x = b.input("x", [3, 4], "f32");
    const [gradient] = vjp(b, [b.reduceProd(x, [1])], [b.fill(1, [3])], [x]);
    const values = [2, 3, 5, 7, 2, 0, 5, 7, 0, 3, 0, 7];
    const { outputs } = evaluate(graphOf({ gradient: gradient! }), new Map([["x", values]]));
    expect([...outputs.get("gradient")!]).toEqual([105, 70, 42, 30, 0, 70, 0, 0, 0, 0, 0, 0]);
  });
});

describe("composites", () => {
  const cases = allCases.filter(({ op }) => opTable[op].expand !== undefined);
  it.each(cases)("$op, case $index, is its expansion, and so is its derivative", ({ op, index, item }) => {
    const next = random(77 * index + 5);
    const b = createBuilder();
    const { node, inputs, values } = build(b, op, item, "x", next);
    const expansion = (opTable[op].expand as (b: unknown, node: Node) => Node)(b, node);
    const cotangent = b.input("g", node.shape, "f32");
    const differentiated = opTable[op].vjp !== null && !(op in CUT);
    const direct = differentiated ? vjp(b, [node], [cotangent], inputs) : [];
    const through = differentiated ? vjp(b, [expansion], [cotangent], inputs) : [];
    const g = Array.from({ length: sizeOf(node.shape) }, () => next() - 0.5);
    const { outputs } = evaluate(
      graphOf({
        value: node,
        expanded: expansion,
        ...Object.fromEntries(direct.map((d, i) => [`direct${i}`, d])),
        ...Object.fromEntries(through.map((d, i) => [`through${i}`, d])),
      }),
      new Map([...values, ["g", g] as const]),
    );
    const close = (a: string, c: string): void => {
      const x = outputs.get(a)!;
      const y = outputs.get(c)!;
      const scale = Math.max(1e-9, ...Array.from(y, Math.abs));
      x.forEach((value: number, i: number) =>
        expect(Math.abs(value - y[i]!) / scale, `${a}[${i}]`).toBeLessThanOrEqual(1e-9),
      );
    };
    close("value", "expanded");
    direct.forEach((_, i) => close(`direct${i}`, `through${i}`));
  });

  it("are gone after expand", () => {
    const b = createBuilder();
    const logits = b.input("z", [2, 4, 4], "f32");
    const graph = graphOf({
      y: b.gelu(b.softmax(b.sinkhorn(logits, { iterations: 3, convention: "deepseek", epsilon: 1e-6 }))),
    });
    const flat = expand(graph, () => true);
    const ops = new Set<string>();
    const visit = (node: Node): void => {
      ops.add(node.op);
      node.inputs.forEach(visit);
    };
    flat.outputs.forEach(visit);
    expect([...ops].filter((op) => opTable[op as Op].expand)).toEqual([]);
    const z = new Map([["z", Array.from({ length: 32 }, (_, i) => Math.sin(i))]]);
    const before = evaluate(graph, z).outputs.get("y")!;
    evaluate(flat, z)
      .outputs.get("y")!
      .forEach((value: number, i: number) => expect(value).toBeCloseTo(before[i]!, 12));
  });
});
