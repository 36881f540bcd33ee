/**
 * Everything is made at load: a device that counts what is asked of it sees no buffer, no bind group and no pipeline
 * while twenty steps run, and one submission a step, the reading of the loss included.
 */
import { afterEach, expect, it, vi } from "vitest";
import { textSource } from "../../runtime/data.js";
import type { Model } from "../../runtime/model.js";
import { loaded } from "../helpers/specs.js";

const text = "call me ishmael. some years ago, never mind how long precisely. ".repeat(8);
const spec = `model Tiny {
  dim context = 7, width = 8
  data corpus = characters("text", window = context)
  x[context, width] = embed(corpus.token) + positions()
  loss = cross_entropy(unembed(norm(x)), corpus.next)
  train { batch = 3, steps = 100, seed = 3, optimizer = sgd(rate = 0.1) }
}`;
const STEPS = 20;

afterEach(() => vi.restoreAllMocks());

/** Counts calls of every method of a device that makes something, but for the encoder of a submission. */
function countCreations(): () => Record<string, number> {
  const prototype = GPUDevice.prototype as unknown as Record<string, (...given: unknown[]) => unknown>;
  const makers = Object.getOwnPropertyNames(prototype).filter(
    (name) => name.startsWith("create") && name !== "createCommandEncoder",
  );
  const spies = makers.map((name) => [name, vi.spyOn(prototype, name)] as const);
  return () =>
    Object.fromEntries(
      spies.map(([name, { mock }]) => [name, mock.calls.length] as const).filter(([, calls]) => calls > 0),
    );
}

async function train(model: Model, steps: number): Promise<void> {
  const info = model.plan.data[0]!;
  if (info.kind !== "characters") throw new Error(info.kind);
  for await (const { loss } of model.train(textSource(info, text), { steps })) expect(loss).toBeGreaterThan(0);
}

it("webgpu makes nothing after load, and submits once a step", async () => {
  const facts = { corpus: { vocabulary: [...new Set(text)].sort() } };
  // The first model brings the adapter; the second is loaded under the counter, which shows that it counts.
  const first = await loaded(spec, "webgpu", { facts });
  const loading = countCreations();
  const model = await loaded(spec, "webgpu", { facts });
  expect(loading()).toMatchObject({
    createBuffer: expect.any(Number),
    createBindGroup: expect.any(Number),
    createComputePipelineAsync: expect.any(Number),
  });
  vi.restoreAllMocks();
  const running = countCreations();
  const submits = vi.spyOn(GPUQueue.prototype, "submit");
  await train(model, STEPS);
  expect(running()).toEqual({});
  expect(submits).toHaveBeenCalledTimes(STEPS);
  await first.close();
  await model.close();
}, 60_000);
