/**
 * A user's own targets: `--target ./mine.js` loads a KernelPrinter or a ModuleEmitter, and anything else is a usage
 * error.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { builtCommand } from "../helpers/command.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "mhc-target-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const compileWith = (target: string): string =>
  execFileSync(
    process.execPath,
    [
      join(builtCommand(), "src/cli/main.js"),
      "compile",
      join(root, "specs/sublayer.mhc"),
      "--target",
      target,
      "-o",
      join(folder, "out"),
    ],
    { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
  );

it("prints kernels with a printer of the user's own", () => {
  writeFileSync(
    join(folder, "mine.mjs"),
    `export default {
    kind: "kernels", name: "mine", profile: { kind: "cpu", lanes: 1, workgroup: 1 },
    print: async (kernels) => ({
      kind: "other",
      text: kernels.map((k) => k.name + " has " + k.buffers.length + " buffers").join("\\n"),
    }),
    files: (stem, code) => [{ path: stem + ".mine", content: code.text }],
  };`,
  );
  compileWith("./mine.mjs");
  expect(readFileSync(join(folder, "out/sublayer.mine"), "utf8")).toMatch(/^sinkhorn\S* has \d+ buffers$/m);
});

it("writes modules with an emitter of the user's own", () => {
  writeFileSync(
    join(folder, "names.mjs"),
    `export default {
    kind: "module",
    name: "names",
    emit: async (stem, plan) => [
      { path: stem + ".txt", content: plan.parameters.map((p) => p.name).join("\\n") },
    ],
  };`,
  );
  compileWith("./names.mjs");
  expect(readFileSync(join(folder, "out/sublayer.txt"), "utf8").split("\n")).toContain("squash.mhc.read.phi");
});

it("refuses a module that is not a target", () => {
  writeFileSync(join(folder, "wrong.mjs"), "export default { kind: 'kernels' };");
  expect(() => compileWith("./wrong.mjs")).toThrow(/its `name` is nothing: letters, digits, _ and - are expected/);
  writeFileSync(join(folder, "taken.mjs"), "export default { kind: 'module', name: 'wasm', emit: () => [] };");
  expect(() => compileWith("./taken.mjs")).toThrow(/its name is `wasm`, which is taken/);
  writeFileSync(join(folder, "other.mjs"), "export default { kind: 'print', name: 'other', emit: () => [] };");
  expect(() => compileWith("./other.mjs")).toThrow(/its `kind` is text \("print"\); a KernelPrinter has "kernels"/);
});
