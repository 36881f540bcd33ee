/**
 * A Vulkan driver for the tests: SwiftShader, which emulates a GPU on the CPU, out of a dev dependency. It is unpacked once into the
 * cache folder of node_modules; the loader must be found before a process starts, so the variables go into the test
 * workers' environment.
 */
import { createRequire } from "node:module";
import { brotliDecompressSync } from "node:zlib";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);

/** Files of a tar archive by name; enough of the format for an archive of plain files. */
function untar(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const field = (at: number, length: number): string => archive.toString("utf8", at, at + length).replace(/\0.*$/s, "").trim();
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(field(at + 124, 12), 8);
    const isFile = field(at + 156, 1) === "0" || field(at + 156, 1) === "";
    if (isFile) files.set(field(at, 100).replace(/^.*\//, ""), archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** Unpacks SwiftShader and returns the environment in which Dawn finds it. */
export function swiftShaderEnvironment(): Record<string, string> {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const folder = join(root, "node_modules", ".cache", "swiftshader");
  if (!existsSync(folder)) {
    const bin = join(dirname(require.resolve("@sparticuz/chromium")), "..", "..", "bin");
    const archive = [join(bin, "swiftshader.tar.br"), join(root, "node_modules/@sparticuz/chromium/bin/swiftshader.tar.br")].find(existsSync);
    if (!archive) throw new Error("the dev dependency @sparticuz/chromium has no swiftshader.tar.br: run npm ci");
    const temporary = `${folder}.${process.pid}`;
    mkdirSync(temporary, { recursive: true });
    for (const [name, content] of untar(brotliDecompressSync(readFileSync(archive)))) writeFileSync(join(temporary, name), content, { mode: 0o755 });
    if (!existsSync(folder)) renameSync(temporary, folder);
  }
  const icd = join(folder, "vk_swiftshader_icd.json");
  return {
    LD_LIBRARY_PATH: [folder, process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":"),
    VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: icd,
  };
}
