/**
 * Entries that change their leaves, over several runs, against the evaluator: whether a new value is stored over the
 * old one, copied afterwards, or set aside before, every read must see the old values. Random graphs over square
 * matrices, where transposes, products and reductions read a leaf at other places than the one that is written.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Device } from "../../runtime/device.js";
import { openDevice } from "../../runtime/index.js";
import { type Builder } from "../../src/graph/builder.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { layOutInOrder } from "../../src/schedule/memory/lifetimes.js";
import { everyDevice, makingFor } from "../helpers/devices.js";
import { schedule } from "../helpers/schedule.js";

const N = 6;
const STEPS = 3;
const NAMES = ["a", "b", "c"] as const;
const start = (name: string): Float32Array =>
  Float32Array.from({ length: N * N }, (_, i) => Math.sin(3 * i + name.charCodeAt(0)));

const leavesOf = (b: Builder): Node[] => [b.parameter("a", [N, N]), b.parameter("b", [N, N]), b.state("c", [N, N])];

/**
 * What is computed stays within [-1, 1], so that errors do not grow from step to step. Products of such numbers may
 * cancel or all but vanish, so that errors are compared with 1 and not with the result.
 */
function derive(b: Builder, choice: number, x: Node, y: Node): Node {
  const rows = (node: Node, axis: 0 | 1): Node => b.broadcast(node, [N, N], [1 - axis]);
  switch (choice % 9) {
    case 0:
      return b.mul(b.add(x, y), b.fill(0.5, [N, N]));
    case 1:
      return b.sin(x);
    case 2:
      return b.transpose(x, [1, 0]);
    case 3:
      return b.mul(b.contract("ik,kj->ij", x, y), b.fill(1 / N, [N, N]));
    case 4:
      return b.sub(x, rows(b.mean(x, [1]), 1));
    case 5:
      return b.mul(y, rows(b.mean(x, [0]), 0));
    case 6:
      return b.softmax(x);
    case 7:
      return b.reshape(b.reshape(x, [N * N]), [N, N]);
    default:
      return b.mul(x, rows(b.reduceMax(y, [0]), 0));
  }
}

const error = (got: ArrayLike<number>, want: ArrayLike<number>): number =>
  Math.max(...Array.from(want, (value, i) => Math.abs(got[i]! - value)));

async function check(device: Device, graph: Graph): Promise<void> {
  const layout = layOutInOrder(NAMES.map(() => N * N));
  const { printer, profile } = makingFor(device);
  const { kernels, infos, entries, pools, constants } = schedule(
    [graph],
    profile,
    new Map(NAMES.map((name, i) => [name, layout.offsets[i]!])),
    layout.words,
  );
  const session = await device.load({ kernels: infos, code: await printer.print(kernels), entries, pools, constants });
  const at = (name: (typeof NAMES)[number]) =>
    ({ pool: "state", offset: layout.offsets[NAMES.indexOf(name)]!, shape: [N, N], dtype: "f32" }) as const;
  const values = new Map<string, ArrayLike<number>>();
  for (const name of NAMES) {
    session.write(at(name), start(name));
    values.set(name, start(name));
  }
  for (let step = 0; step < STEPS; step++) {
    const expected = evaluate(graph, values);
    await session.run(graph.name);
    for (const [name, ref] of Object.entries(entries[graph.name]!.outputs)) {
      expect(error(await session.read(ref), expected.outputs.get(name)!), `${name} of step ${step}`).toBeLessThan(2e-5);
    }
    expected.updates.forEach((value, name) => values.set(name, value));
    for (const name of NAMES)
      expect(error(await session.read(at(name)), values.get(name)!), `${name} after step ${step}`).toBeLessThan(2e-5);
  }
  await session.close();
}

describe.each(everyDevice)("on %s", (name) => {
  it("a leaf that changes is read as it was, by other leaves and by the host", async () => {
    const device = await openDevice(name, { threads: 2 });
    const b = createBuilder();
    const [x, y, z] = leavesOf(b) as [Node, Node, Node];
    const graph = (outputs: Readonly<Record<string, Node>>, updates: readonly (readonly [Node, Node])[]): Graph => ({
      name: "update",
      outputs: new Map(Object.entries(outputs)),
      updates: new Map(updates),
    });
    await check(
      device,
      graph({}, [
        [x, y],
        [y, x],
      ]),
    );
    await check(
      device,
      graph({}, [
        [x, y],
        [y, z],
        [z, x],
      ]),
    );
    await check(
      device,
      graph({}, [
        [x, b.sin(x)],
        [y, x],
      ]),
    );
    await check(
      device,
      graph({}, [
        [y, x],
        [x, b.sin(x)],
      ]),
    );
    await check(
      device,
      graph({ before: x, after: b.sin(x), flat: b.reshape(x, [N * N]) }, [
        [x, b.sin(x)],
        [z, x],
      ]),
    );
    await check(
      device,
      graph({ same: x }, [
        [x, x],
        [y, b.transpose(y, [1, 0])],
      ]),
    );
    await check(
      device,
      graph({}, [
        [x, b.sin(y)],
        [y, b.sin(x)],
        [z, b.sin(x)],
      ]),
    );
    await device.close();
  }, 60_000);

  it("random entries change their leaves as the evaluator does", async () => {
    const device = await openDevice(name, { threads: 2 });
    const op = fc.tuple(fc.nat(8), fc.nat(30), fc.nat(30));
    const pick = fc.option(fc.nat(30), { nil: null });
    await fc.assert(
      fc.asyncProperty(
        fc.array(op, { maxLength: 7 }),
        fc.tuple(pick, pick, pick),
        fc.array(fc.nat(30), { maxLength: 2 }),
        async (ops, targets, results) => {
          const b = createBuilder();
          const pool = leavesOf(b);
          const leaves = [...pool];
          for (const [choice, i, j] of ops)
            pool.push(derive(b, choice, pool[i % pool.length]!, pool[j % pool.length]!));
          const last = (at: number): Node => pool[pool.length - 1 - (at % pool.length)]!;
          const updates = new Map(
            targets.flatMap((at, i): [Node, Node][] => (at === null ? [] : [[leaves[i]!, last(at)]])),
          );
          await check(device, {
            name: "update",
            outputs: new Map(results.map((at, i) => [`out${i}`, last(at)])),
            updates,
          });
        },
      ),
      // A C compiler makes the kernels of each anew.
      { numRuns: { webgpu: 40, native: 20, wasm: 60, javascript: 60 }[name] },
    );
    await device.close();
  }, 120_000);
});
