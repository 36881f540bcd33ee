/** Checkpoints across runs that freeze other parameters: what one run has and the next has not. */
import { beforeAll, describe, expect, it } from "vitest";
import { decode } from "../../runtime/checkpoint.js";
import { textSource, type Source } from "../../runtime/data.js";
import { DataError } from "../../runtime/errors.js";
import type { Model } from "../../runtime/index.js";
import { facts, smallPage, text } from "../helpers/small.js";
import { loaded } from "../helpers/specs.js";

const page = (clauses: string): string =>
  smallPage("residual", { optimizer: "adamw(rate = 3e-3, decay = 0.1)" }).replace("batch = 5", `${clauses} batch = 5`);
const open = (clauses: string, set: Readonly<Record<string, string>> = {}): Promise<Model> =>
  loaded(page(clauses), "javascript", { facts, set });

const sourceOf = (model: Model): Source => textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);

async function train(model: Model, steps: number): Promise<void> {
  for await (const { loss } of model.train(sourceOf(model), { steps })) expect(loss).toBeGreaterThan(0);
}

const valuesOf = async (model: Model, name: string): Promise<Float32Array> =>
  (await model.parameters()[name]!.get()).slice();

const FREEZE = "freeze embed, layers.0\n   ";

describe("a checkpoint of a run where everything was free", () => {
  let saved: Uint8Array;
  beforeAll(async () => {
    const free = await open("");
    await train(free, 3);
    saved = await free.checkpoint();
    await free.close();
  });

  it("loads where some are frozen, names the moments that it leaves out, and these parameters stay", async () => {
    const model = await open(FREEZE);
    const { leftOut } = await model.load(saved);
    const frozen = Object.keys(model.parameters()).filter((name) => /^(?:embed|layers\.0)\./.test(name));
    expect(frozen).toContain("layers.0.attention.wq");
    expect([...leftOut].sort()).toEqual(frozen.flatMap((name) => [`state:m:${name}`, `state:v:${name}`]).sort());
    expect(model.step).toBe(3);
    await train(model, 2);
    const before = decode(saved).tensors;
    for (const name of frozen) expect(await valuesOf(model, name)).toEqual(before.get(name)!.data);
    expect(await valuesOf(model, "layers.1.mlp.up")).not.toEqual(before.get("layers.1.mlp.up")!.data);

    // And back: the moments that it lacks are 0, the others what they were.
    const [bytes, again] = [await model.checkpoint(), await open("")];
    expect(
      [...decode(bytes).tensors.keys()].filter((name) => frozen.some((other) => name.endsWith(`:${other}`))),
    ).toEqual([]);
    expect(await again.load(bytes)).toEqual({ leftOut: [] });
    const { tensors } = decode(await again.checkpoint());
    expect(tensors.get("state:m:embed.table")!.data.every((value) => value === 0)).toBe(true);
    expect(tensors.get("state:m:layers.1.mlp.up")!.data).toEqual(
      decode(bytes).tensors.get("state:m:layers.1.mlp.up")!.data,
    );
    const table = await valuesOf(again, "embed.table");
    await train(again, 1);
    expect(await valuesOf(again, "embed.table")).not.toEqual(table);
    await model.close();
    await again.close();
  });

  it("is refused where another optimizer has no such moments, though nothing is frozen", async () => {
    const model = await open("", { "train.optimizer": "sgd(rate = 0.1)" });
    await expect(model.load(saved)).rejects.toThrow(DataError);
    await model.close();
  });
});

it("a run that freezes everything changes nothing but its step", async () => {
  const model = await open('freeze "*"\n   ');
  const names = Object.keys(model.parameters());
  const before = await Promise.all(names.map((name) => valuesOf(model, name)));
  await train(model, 2);
  expect(await Promise.all(names.map((name) => valuesOf(model, name)))).toEqual(before);
  expect(model.plan.states).toEqual([]);
  expect(model.step).toBe(2);
  expect((await model.gradients(sourceOf(model).batch(5, 3, 0))).gradients).toEqual({});
  await model.close();
});
