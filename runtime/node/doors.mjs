// The package's doors for resolvers that read no "exports" in package.json (Parcel, unless it is told to): a file of
// the subpath's name beside package.json. Run by `npm run build`; what it writes is in the tarball, and is not tracked.
import { writeFileSync } from "node:fs";

const doors = {
  manifolds: "./dist/src/manifolds/index.js",
  runtime: "./dist/runtime/web/index.js",
  typescript: "./dist/codegen/typescript/emitter.js",
};

for (const [name, target] of Object.entries(doors)) {
  const text = `/** \`mhc-lang/${name}\`, written by runtime/node/doors.mjs. */\nexport * from ${JSON.stringify(target)};\n`;
  for (const extension of ["js", "d.ts"]) writeFileSync(new URL(`../../${name}.${extension}`, import.meta.url), text);
}
