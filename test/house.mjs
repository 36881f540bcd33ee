/**
 * What the house looks like in numbers: `npm run house` prints them, `npm run house -- --list` names each place too.
 * Lines over 120 columns, files over 400 lines and exports without a docstring are errors; the other figures are for
 * reading.
 */
import { readFileSync } from "node:fs";
import { globSync } from "tinyglobby";
import { ts } from "ts-morph";

const WIDTH = 120;
const LINES = 400;
const LONG = 60;
const PARAMETERS = 5;

/** What is measured: the code that ships. Width and length hold for tests, examples and scripts too. */
const shipped = ["src/**/*.ts", "grammar/**/*.ts", "codegen/**/*.ts", "runtime/**/*.ts"];
const others = ["test/**/*.{ts,mts,mjs}", "specs/*.{ts,mts,mjs}", "examples/**/*.{ts,mjs,js}", "*.{ts,mts,mjs,cjs}"];
/** Kernels as they are printed stand in it, whose lines are as long as they are. */
const pinned = new Set(["test/codegen/text.test.ts"]);
/** Written by scripts. */
const written = [
  "specs/std.ts",
  "runtime/wasm/worker-text.ts",
  "**/fixtures/**",
  "**/node_modules/**",
  "examples/*/{generated,build,out}/**",
];

const found = { wide: [], large: [], long: [], longest: [], wideCalls: [], bang: [], undocumented: [], twice: [] };
const types = new Map();
let functions = 0;
let lines = 0;

const isExported = (node) => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false;
const nameOf = (node) => node.name?.getText?.() ?? node.parent?.name?.getText?.() ?? "(a function)";

for (const file of globSync([...shipped, ...others], { ignore: written }).sort()) {
  const text = readFileSync(file, "utf8");
  const rows = text.trimEnd().split("\n");
  rows.forEach((row, i) => {
    if (row.length > WIDTH && !pinned.has(file)) found.wide.push(`${file}:${i + 1}: ${row.length} columns`);
  });
  if (rows.length > LINES) found.large.push(`${file}: ${rows.length} lines`);
  if (/^(test|specs|examples)\//.test(file) || !/\//.test(file)) continue;
  lines += rows.length;
  measure(file, ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true));
}

/** Functions, `!`, docstrings and the names of types of one file. */
function measure(file, source) {
  const lineOf = (position) => source.getLineAndCharacterOfPosition(position).line + 1;
  const at = (node) => `${file}:${lineOf(node.getStart())}`;
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      functions++;
      const length = lineOf(node.getEnd()) - lineOf(node.getStart()) + 1;
      const words = `${at(node)}: ${nameOf(node)}`;
      if (length > LONG) found.long.push(`${words}, ${length} lines`);
      if (length > 100) found.longest.push(words);
      if (node.parameters.length > PARAMETERS) found.wideCalls.push(`${words}, ${node.parameters.length} parameters`);
    }
    if (ts.isNonNullExpression(node)) found.bang.push(at(node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const statement of source.statements) {
    const isType = ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement);
    if (isType) types.set(statement.name.text, [...(types.get(statement.name.text) ?? []), at(statement)]);
    if (isExported(statement) && !ts.getJSDocCommentsAndTags(statement).length) {
      found.undocumented.push(`${at(statement)}: ${nameOf(statement)}`);
    }
  }
}

for (const [name, places] of types) if (places.length > 1) found.twice.push(`${name}: ${places.join(", ")}`);

const share = (count, of) => `${((100 * count) / of).toFixed(1)}%`;
const figures = [
  ["lines of code", `${lines}`],
  [`lines over ${WIDTH} columns`, found.wide],
  [`files over ${LINES} lines`, found.large],
  [`functions over ${LONG} lines`, found.long, `of ${functions}, ${share(found.long.length, functions)}`],
  ["functions over 100 lines", found.longest],
  [`functions with more than ${PARAMETERS} parameters`, found.wideCalls, share(found.wideCalls.length, functions)],
  ["`!`", found.bang, `${((1000 * found.bang.length) / lines).toFixed(1)} per 1,000 lines`],
  ["exports without a docstring", found.undocumented],
  ["names of types that are defined more than once", found.twice],
];
for (const [what, value, more] of figures) {
  console.log(`${what}: ${Array.isArray(value) ? value.length : value}${more ? ` (${more})` : ""}`);
  if (process.argv.includes("--list") && Array.isArray(value)) for (const place of value) console.log(`  ${place}`);
}
if (found.wide.length || found.large.length) {
  console.log("error: lines over 120 columns and files over 400 lines are to be split (--list names them)");
  process.exitCode = 1;
}
if (found.undocumented.length) {
  console.log("error: what is exported says what it is, in a docstring (--list names what does not)");
  process.exitCode = 1;
}
