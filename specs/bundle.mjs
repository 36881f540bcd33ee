// Bundles the standard library as text, so that the compiler stays pure (no `fs`) and runs in a browser tab as it is.
// Run by `npm run build`; writes specs/std.ts, which is not tracked.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { workerText } from "./worker-text.mjs";

const folder = new URL("./std/", import.meta.url);
const names = readdirSync(folder)
  .filter((name) => name.endsWith(".mhc"))
  .sort();
const rows = names.map((name) => {
  const text = readFileSync(new URL(name, folder), "utf8");
  return `  { name: ${JSON.stringify(`std/${name}`)}, text: ${JSON.stringify(text)} },`;
});
writeFileSync(
  new URL("./std.ts", import.meta.url),
  `/** The standard library, made from specs/std/*.mhc by specs/bundle.mjs. Do not edit. */
export const standardLibrary: readonly { readonly name: string; readonly text: string }[] = [
${rows.join("\n")}
];
`,
);

// The worker's function as text, for hosts whose workers are made of text; it is tracked, and a test compares it with
// its source.
const serve = new URL("../runtime/wasm/serve.ts", import.meta.url);
writeFileSync(new URL("../runtime/wasm/worker-text.ts", import.meta.url), workerText(readFileSync(serve, "utf8")));
