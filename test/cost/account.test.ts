/** Accounts of cost against the plan, and against kernels that are run tree by tree and counted. */
import { describe, expect, it } from "vitest";
import { javascript } from "../../codegen/javascript/printer.js";
import { wasm } from "../../codegen/wasm/printer.js";
import { copiesOf, type DevicePlan } from "../../runtime/plan.js";
import { deviceNames } from "../../runtime/registry.js";
import { compile, type Compiled, type CompileOptions, type Facts } from "../../src/compile/compile.js";
import type { Kernel } from "../../src/kernel/ir.js";
import { count } from "../helpers/interpreter.js";
import { readSpec } from "../helpers/specs.js";

const text: Facts = { corpus: { vocabulary: [..."abcdefghijklmnop"] } };
/** Sizes whose rows are whole vectors: what a kernel computes for lanes that hold nothing is no work of the model's. */
const small = { width: "24", heads: "3", context: "8", "train.batch": "3" };
const SPECS: readonly [string, Facts, Record<string, string>][] = [
  ["nanogpt", text, { ...small, layers: "2" }],
  ["moby-dick", text, { ...small, layers: "2" }],
  ["hc", text, { ...small, layers: "2" }],
  ["identity", text, { ...small, layers: "2" }],
  ["deep-narrow", text, { ...small, layers: "3" }],
  ["depths", text, { ...small, pairs: "1", few: "4" }],
  ["lean", text, { ...small, layers: "2" }],
  ["sublayer", {}, {}],
  ["digits", { images: { features: 784, classes: 16 } }, { "train.batch": "8", digits: "16" }],
  ["poincare", { mammals: { names: Array.from({ length: 40 }, (_, i) => `name ${i}`) } }, { "train.batch": "8" }],
];

/** Kernels that are nothing but products or elementwise work, where there are fewer than a dozen. */
const FEWER: Readonly<Record<string, number>> = { poincare: 2, digits: 4, sublayer: 3 };

async function compiled(
  spec: string,
  facts: Facts,
  set: Record<string, string>,
  devices: CompileOptions["devices"],
): Promise<Compiled> {
  const made = await compile(readSpec(spec), { file: "test.mhc", devices, set, facts });
  if (!made.plan) throw new Error(made.diagnostics.map(({ message }) => message).join("\n"));
  return made;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const accountsOf = (spec: string, facts: Facts, set: Record<string, string>): void => {
  it("accounts for what the plan says, dispatch by dispatch, on every device", async () => {
    const { plan, accounts } = await compiled(spec, facts, set, deviceNames);
    for (const [device, { entries, kernels }] of Object.entries<DevicePlan>(plan!.devices)) {
      for (const [entry, { dispatches }] of Object.entries(entries)) {
        const own = accounts!(device, entry).accounts;
        const planned = dispatches.map((dispatch) => {
          const kernel = kernels[dispatch.kernel]!;
          const copies = copiesOf(dispatch, kernel);
          return {
            kernel: dispatch.kernel,
            groups: kernel.groups * copies,
            flops: kernel.flops * copies,
            bytes: kernel.bytes * copies,
          };
        });
        expect(
          own.map(({ kernel, groups, work, traffic }) => ({
            kernel,
            groups,
            flops: sum(work.map(({ flops }) => flops)),
            bytes: sum(traffic.map(({ bytes }) => bytes)),
          })),
          `${device}, ${entry}`,
        ).toEqual(planned);
      }
    }
  });

  it.each([javascript, wasm])(
    "counts operations and bytes of products and elementwise kernels as they are run: $name",
    // Kernels of 784 pixels take half a minute.
    { tags: spec === "digits" ? ["slow"] : [] },
    async (printer) => {
      let kernels: readonly Kernel[] = [];
      const spy = { ...printer, print: (list: readonly Kernel[]) => printer.print((kernels = list)) };
      const { plan, accounts } = await compiled(spec, facts, set, [spy]);
      const { kernels: infos } = plan!.devices[printer.name]!;
      const compared = new Set<number>();
      for (const { kernel: i, work } of accounts!(printer.name, plan!.train ? "train" : "vjp").accounts) {
        const [kernel, info] = [kernels[i]!, infos[i]!];
        const kinds = new Set(work.map(({ kind }) => kind));
        const simple =
          work.length > 0 &&
          [...kinds].every(
            (kind) =>
              kind === "products" ||
              kind === "narrow products" ||
              kind === "elementwise" ||
              kind === "elementary functions",
          );
        if (!simple || compared.has(i)) continue;
        const { operations, prologue, touched } = count(kernel, (buffer) =>
          kernel.buffers.find(({ name }) => name === buffer)!.pool === "ints" ? 0 : 1,
        );
        // A value that does not depend on the place is made once a group, and is one value; one that depends on some
        // axes alone is no elementwise work.
        const domain = Math.max(...[...touched.values()].map(({ written }) => written));
        const copies = sum(work.map(({ flops }) => flops)) / info.flops;
        const elementwise =
          sum(work.filter(({ kind }) => !kind.endsWith("products")).map(({ flops }) => flops)) / copies -
          prologue / kernel.groups;
        if (elementwise % domain !== 0) continue;
        expect(operations - (prologue * (kernel.groups - 1)) / kernel.groups, info.name).toBe(info.flops);
        // Of a table whose rows are chosen, a plan cannot know which.
        if (kernel.buffers.every(({ pool }) => pool !== "ints"))
          expect(4 * sum([...touched.values()].flatMap(({ read, written }) => [read, written])), info.name).toBe(
            info.bytes,
          );
        compared.add(i);
      }
      expect(compared.size).toBeGreaterThanOrEqual(FEWER[spec] ?? 12);
    },
  );
};

/** Pages that have every kind of account between them: lanes and their update, classes, pairs, and no training. */
const FEW = new Set(["moby-dick", "digits", "poincare", "sublayer"]);
describe.each(SPECS.filter(([name]) => FEW.has(name)))("%s", accountsOf);
describe.each(SPECS.filter(([name]) => !FEW.has(name)))("%s", { tags: "slow" }, accountsOf);
