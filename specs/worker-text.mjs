// Makes a text of what a worker does (runtime/wasm/serve.ts): its function, without types.
import { ts } from "ts-morph";

/** The module that holds the text. */
export function workerText(source) {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, removeComments: true },
  });
  const text = outputText
    .replace(/^export (?=function)/m, "")
    .replace(/^export \{\s*\};?\s*$/m, "")
    .trim();
  if (/^(import|export)\b/m.test(text))
    throw new Error("runtime/wasm/serve.ts must be one function that needs nothing from outside");
  return `/** What a worker runs, as text: made from serve.ts by \`npm run bundle\`. Do not edit. */
export const serveText = ${JSON.stringify(text)};
`;
}
