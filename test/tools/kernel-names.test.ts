/**
 * Names of kernels beside their times: of blocks and parameters of the page, and the same whenever a page is compiled.
 */
import { expect, it } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { labelsOf } from "../../src/tools/kernel-names.js";
import { readSpec } from "../helpers/specs.js";

const label = async (layers: string): Promise<string[]> => {
  const options = {
    file: "moby-dick.mhc",
    devices: ["wasm"],
    facts: { corpus: { vocabulary: ["a", "b", "c"] } },
    set: { layers, lanes: "2", width: "32", context: "8" },
  } as const;
  const { plan, accounts } = await compile(readSpec("moby-dick"), options);
  return [...labelsOf(accounts!("wasm", "train").accounts, plan!.parameters).values()];
};

it("say whose work it is, with which parameters, and in which pass", async () => {
  const [two, again, three] = [await label("2"), await label("2"), await label("3")];
  expect(again).toEqual(two);
  for (const name of two)
    expect(name).toMatch(/^(the page|the optimizer|[\w.*]+): [\w, …]+, (forward|backward|update)(, and \d+ more)?$/);
  for (const name of ["layers.*.mlp: up, forward", "the optimizer: elementwise, update"])
    expect(
      [two, three].map((all) => all.includes(name)),
      name,
    ).toEqual([true, true]);
});
