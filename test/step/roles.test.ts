/**
 * What outputs, inputs and states are is said by roles (`runtime/roles.ts`): a plan has one for every id, and nothing
 * outside of the rooms that make ids takes one apart.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { load } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { outputId, stateId } from "../../src/step/roles.js";
import { planOf, readSpec } from "../helpers/specs.js";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const facts = {
  corpus: { vocabulary: [..."abcdefgh"] },
  mammals: { names: ["a", "b", "c", "d"] },
};

describe.each(["moby-dick", "lean", "sublayer", "poincare", "nanogpt"])("the plan of %s", (page) => {
  const tags = page === "moby-dick" || page === "nanogpt" ? ["slow"] : [];
  it("says of every output and state what it is, by the role that its id is made of", { tags }, async () => {
    const { roles, devices, states } = await planOf(readSpec(page), ["javascript"], { facts, monitors: "all" });
    const { entries } = devices["javascript"]!;
    expect(Object.keys(roles.entries)).toEqual(Object.keys(entries));
    for (const [name, { outputs, inputs }] of Object.entries(entries)) {
      const entry = roles.entries[name]!;
      expect(Object.keys(entry.outputs).sort(), name).toEqual(Object.keys(outputs).sort());
      for (const [id, role] of Object.entries(entry.outputs)) {
        // The only head of a page has no name of its own.
        expect(id === "logits" && role.kind === "logits" ? outputId(role) : id).toBe(outputId(role));
      }
      for (const id of Object.keys(inputs)) {
        if (/^(cotangent|gain):/.test(id)) expect(entry.inputs, `${name} ${id}`).toHaveProperty([id]);
      }
    }
    expect(Object.entries(roles.states).map(([name, role]) => [name, stateId(role)])).toEqual(
      states.map(({ name }) => [name, name]),
    );
  });
});

it("a plan that does not say them is refused, with what to do", async () => {
  const { roles: _, ...older } = await planOf(readSpec("sublayer"), ["javascript"]);
  await expect(load(older as Plan, { device: "javascript" })).rejects.toMatchObject({
    name: "DataError",
    fix: "compile its page again",
  });
});

/** Tests of a prefix that ends in a colon, and ids that are cut at one. A location `npm:` is the user's own word. */
const TAKEN_APART = [
  /(?:startsWith|indexOf|lastIndexOf|split)\(\s*["'`](?!npm:)[\w -]*:["'`]/,
  /\/\^\(?[\w $|-]+:[^/\n]*\/[a-z]*\.(?:test|exec)\(/,
  /\.slice\(\s*["'`][\w -]*:["'`]\.length/,
  /\bwithPrefix\(/,
];

/** Where a name with a colon is no id: lists of folders, and what Linux calls its meters. */
const EXEMPT = new Set(["runtime/node/vulkan.ts", "src/tools/energy.ts"]);

const sources = ["runtime", "src/tools", "src/cli", "src/compile"].flatMap((room) =>
  readdirSync(join(repository, room), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${room}/${file}`),
);

it("nothing that reads a plan takes an id apart", () => {
  const offenders = sources.filter((file) => {
    if (EXEMPT.has(file)) return false;
    const text = readFileSync(join(repository, file), "utf8");
    return TAKEN_APART.some((pattern) => pattern.test(text));
  });
  expect(sources.length).toBeGreaterThan(80);
  expect(offenders).toEqual([]);
});
