/**
 * What is left of a model computes what the whole one computes with the rest closed: for random choices of units,
 * logits and ten steps of SGD, on both devices; with layers, heads, neurons, a bottleneck and lanes, a parameter on
 * spheres, and all that is cut in pairs.
 */
import { afterAll, describe, expect, it } from "vitest";
import fc from "fast-check";
import { decode, encode } from "../../runtime/checkpoint.js";
import { textSource } from "../../runtime/data.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import { load, type Model, openDevice } from "../../runtime/index.js";
import type { Kept, Plan, SlotInfo } from "../../runtime/plan.js";
import { pinned, resized } from "../../runtime/shrink.js";
import { compile } from "../../src/compile/compile.js";
import { facts, shrinkingPage, text, type PageOptions } from "../helpers/shrinking.js";
import { distance } from "../helpers/specs.js";

/** The page that is tried by `npm test`: it has most of what the others have. */
const QUICK = "mhc, exact, relaxed";
const PAGES: Readonly<Record<string, PageOptions>> = {
  "mhc, sinkhorn": {},
  "mhc, exact, relaxed": { manifold: "manifold M = birkhoff(iterations = 4, exact) adapt relax in 0 .. 1" },
  "residual, and its width": { width: true },
  hc: { manifold: "", connection: "hc" },
  identity: { manifold: "", connection: "identity" },
};

async function planned(
  spec: string,
  devices: readonly DeviceName[],
  shrunk?: { readonly kept: Kept; readonly settled: true; readonly dense: Readonly<Record<string, number>> },
): Promise<Plan> {
  const { plan, diagnostics } = await compile(spec, {
    file: "test.mhc",
    devices,
    facts,
    ...(shrunk ? { shrunk } : {}),
  });
  if (!plan) throw new Error(diagnostics.map(({ message, fix }) => `${message} (${fix})`).join("\n"));
  return plan;
}

/** Any units of each slot, one at least of an axis; what is inside a layer that is gone is not named. */
const choices = ({ shrinking }: Plan): fc.Arbitrary<Kept> =>
  fc
    .record(
      Object.fromEntries(
        shrinking!.slots.map(({ name, size, kind }) => [
          name,
          fc.subarray(
            Array.from({ length: size }, (_, i) => i),
            { minLength: kind === "layer" ? 0 : 1 },
          ),
        ]),
      ),
    )
    .map((kept) =>
      Object.fromEntries(
        shrinking!.slots
          .filter(({ layer }) => isThere(shrinking!.slots, kept, layer))
          .map(({ name }) => [name, kept[name]!]),
      ),
    );

const isThere = (slots: readonly SlotInfo[], kept: Kept, name: string | null): boolean =>
  name === null || (kept[name]!.length > 0 && isThere(slots, kept, slots.find((slot) => slot.name === name)!.layer));

/** The model with the gates of these units open for good and all others closed. */
async function closed(model: Model, kept: Kept): Promise<void> {
  const { tensors, metadata } = decode(await model.checkpoint());
  const gates = tensors.get("state:gates")!;
  await model.load(
    encode({
      metadata,
      tensors: new Map([
        ...tensors,
        ["state:gates", { shape: gates.shape, data: pinned(model.plan.shrinking!, kept, gates.data.length) }],
      ]),
    }),
  );
}

/** The small model with what it has of the large one. */
async function cut(large: Model, small: Model): Promise<void> {
  const { tensors, metadata } = decode(await large.checkpoint());
  const parameters = new Set(large.plan.parameters.map(({ name }) => name));
  const made = await resized(large.plan, small.plan, ({ name }) =>
    Promise.resolve(tensors.get(parameters.has(name) ? name : `state:${name}`)!.data),
  );
  const named = new Map([...small.plan.parameters, ...small.plan.states].map((info) => [info.offset, info]));
  const own = new Set(small.plan.parameters.map(({ name }) => name));
  await small.load(
    encode({
      metadata: { ...metadata, kept: JSON.stringify(small.plan.kept) },
      tensors: new Map(
        made.map(({ info, data }) => [
          own.has(named.get(info.offset)!.name)
            ? named.get(info.offset)!.name
            : `state:${named.get(info.offset)!.name}`,
          { shape: info.shape, data },
        ]),
      ),
    }),
  );
}

const devices: Device[] = [];
const device = async (name: DeviceName): Promise<Device> => {
  const found = devices.find((one) => one.name === name) ?? (await openDevice(name));
  if (!devices.includes(found)) devices.push(found);
  return found;
};
afterAll(() => Promise.all(devices.map((one) => one.close())));

async function compare(
  spec: string,
  whole: Plan,
  name: DeviceName,
  kept: Kept,
): Promise<{ readonly logits: number; readonly losses: number }> {
  const on = await device(name);
  const small = await planned(spec, [name], { kept, settled: true, dense: whole.cost!.dense });
  const a = await load(whole, { device: on, seed: 3 });
  await closed(a, kept);
  const b = await load(small, { device: on, seed: 3 });
  await cut(a, b);
  const info = whole.data[0] as Parameters<typeof textSource>[0];
  const source = textSource(info, text);
  const batch = { "corpus.token": source.batch(3, 1, 0)["corpus.token"]! };
  const logits = distance((await b.forward(batch))["logits"]!, (await a.forward(batch))["logits"]!);
  let losses = 0;
  const steps = b.train(source, { steps: 10 });
  for await (const { loss } of a.train(source, { steps: 10 })) {
    const { value } = await steps.next();
    losses = Math.max(losses, Math.abs((value as { loss: number }).loss - loss) / loss);
  }
  await a.close();
  await b.close();
  return { logits, losses };
}

describe.each(Object.entries(PAGES))("%s", (name, options) => {
  const spec = shrinkingPage(options);
  const areThose = async (where: DeviceName, numRuns: number): Promise<void> => {
    const whole = await planned(spec, [where]);
    await fc.assert(
      fc.asyncProperty(choices(whole), async (kept) => {
        const { logits, losses } = await compare(spec, whole, where, kept);
        expect(logits).toBeLessThan(1e-5);
        // Ten steps add up what f32 rounds: by other orders of sums in a stream of other width most.
        expect(losses).toBeLessThan(options.width ? 5e-5 : 1e-5);
      }),
      { numRuns, seed: 20261126, endOnFailure: true },
    );
  };
  const THOSE = "logits and ten steps of what is left are those of the whole with the rest closed";
  // The page that has most, and the others apart.
  const tags = name === QUICK ? [] : ["slow"];
  it(THOSE, { tags }, () => areThose("wasm", 1));
  it(`${THOSE}: wasm`, { tags: "slow" }, () => areThose("wasm", 6));
  // A GPU that is emulated takes its time: the two pages that differ most.
  if (name === "hc" || name.includes("exact")) it(`${THOSE}: webgpu`, { tags: "slow" }, () => areThose("webgpu", 1));
});
