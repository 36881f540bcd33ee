/**
 * A headless Chromium for tests, out of a dev dependency. It is unpacked once into the cache folder of node_modules. It
 * needs a few libraries of the system; where the system has none, those that come with it are tried, and where these do
 * not help the caller is told why there is no browser.
 */
import { brotliDecompressSync } from "node:zlib";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Browser } from "playwright-core";
import { untar } from "../helpers/tar.js";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const packed = join(root, "node_modules/@sparticuz/chromium/bin");

/** The folder with the browser and the libraries that come with it. */
function unpacked(): string {
  const folder = join(root, "node_modules", ".cache", "chromium");
  if (existsSync(folder)) return folder;
  const temporary = `${folder}.${process.pid}`;
  mkdirSync(join(temporary, "lib"), { recursive: true });
  writeFileSync(join(temporary, "chromium"), brotliDecompressSync(readFileSync(join(packed, "chromium.br"))), {
    mode: 0o755,
  });
  for (const [name, content] of untar(brotliDecompressSync(readFileSync(join(packed, "al2023.tar.br"))))) {
    writeFileSync(join(temporary, "lib", name), content, { mode: 0o755 });
  }
  if (!existsSync(folder)) renameSync(temporary, folder);
  return folder;
}

/** Starts the browser; where it cannot start, says why. */
export async function openBrowser(): Promise<Browser | { readonly refused: string }> {
  const folder = unpacked();
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  const start = (libraries: string): Promise<Browser> =>
    chromium.launch({
      executablePath: join(folder, "chromium"),
      headless: true,
      args,
      timeout: 120_000,
      env: { ...process.env, LD_LIBRARY_PATH: libraries, VK_DRIVER_FILES: "", VK_ICD_FILENAMES: "" },
    });
  try {
    return await start("");
  } catch {
    try {
      return await start(join(folder, "lib"));
    } catch (error) {
      return {
        refused:
          error instanceof Error
            ? error.message
                .split("\n")
                .filter((line) => line.trim())
                .slice(0, 4)
                .join("; ")
            : String(error),
      };
    }
  }
}
