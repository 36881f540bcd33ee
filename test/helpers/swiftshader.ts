/**
 * A Vulkan driver for the tests: SwiftShader, which emulates a GPU on the CPU, out of a dev dependency. It is unpacked
 * once into the cache folder of node_modules; the loader must be found before a process starts, so the variables go
 * into the test workers' environment.
 */
import { createRequire } from "node:module";
import { brotliDecompressSync } from "node:zlib";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { untar } from "./tar.js";

const require = createRequire(import.meta.url);

/** Unpacks SwiftShader and returns the environment in which Dawn finds it. */
export function swiftShaderEnvironment(): Record<string, string> {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const folder = join(root, "node_modules", ".cache", "swiftshader");
  if (!existsSync(folder)) {
    const bin = join(dirname(require.resolve("@sparticuz/chromium")), "..", "..", "bin");
    const archive = [
      join(bin, "swiftshader.tar.br"),
      join(root, "node_modules/@sparticuz/chromium/bin/swiftshader.tar.br"),
    ].find(existsSync);
    if (!archive) throw new Error("the dev dependency @sparticuz/chromium has no swiftshader.tar.br: run npm ci");
    const temporary = `${folder}.${process.pid}`;
    mkdirSync(temporary, { recursive: true });
    for (const [name, content] of untar(brotliDecompressSync(readFileSync(archive))))
      writeFileSync(join(temporary, name), content, { mode: 0o755 });
    if (!existsSync(folder)) renameSync(temporary, folder);
  }
  const icd = join(folder, "vk_swiftshader_icd.json");
  return {
    LD_LIBRARY_PATH: [folder, process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":"),
    VK_DRIVER_FILES: icd,
    VK_ICD_FILENAMES: icd,
  };
}
