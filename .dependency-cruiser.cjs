// The layering rule: data goes one way, down this list, and a room imports only rooms further down (ARCHITECTURE.md).
const rooms = [
  "^src/cli/",
  "^src/tools/",
  "^src/(index|library|compile|entries|uses|sets|laws|budget|layout|prices|shrink)\\.ts$",
  "^codegen/(?!target)",
  "^src/schedule/",
  "^codegen/target\\.ts$",
  "^src/cost/",
  "^src/passes/",
  "^src/model/",
  "^src/manifolds/",
  "^src/graph/",
  "^src/kernel/",
  "^grammar/(?!ast)",
  "^src/diagnostics/",
  "^grammar/ast\\.ts$",
];

/** A room may not import the rooms above it. */
const downward = rooms.slice(1).map((room, i) => ({
  name: `only-downward-from-${room.replace(/[^a-z]+/g, "-")}`,
  severity: "error",
  comment: "A room imports only rooms further down the list in ARCHITECTURE.md.",
  from: { path: room },
  to: { path: rooms.slice(0, i + 1).join("|") },
}));

module.exports = {
  forbidden: [
    ...downward,
    {
      name: "runtime-stands-alone",
      severity: "error",
      comment: "The runtime ships to browsers: it imports nothing of the compiler.",
      from: { path: "^runtime/" },
      to: { path: "^(src|codegen|grammar|specs)/" },
    },
    {
      name: "compiler-sees-only-the-contract",
      severity: "error",
      comment:
        "The compiler knows of the runtime only the plan and its prices, the one implementation of Threefry, " +
        "and records.",
      from: { path: "^(src/(?!cli/|tools/)|codegen|grammar)" },
      to: { path: "^runtime/(?!(plan|prices|threefry|records)\\.ts$)" },
    },
    {
      name: "pure-compiler",
      severity: "error",
      comment: "The compiler runs in a browser tab as it is: files come through `host`.",
      from: { path: "^(src/(?!cli/|tools/)|codegen|grammar)" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "node-behind-its-door",
      severity: "error",
      comment: "What a page imports reaches nothing of Node: the door of Node (runtime/index.ts) hands its host down.",
      from: { path: "^runtime/", pathNot: "^runtime/(node/|index\\.ts$)" },
      to: { path: "^runtime/(node/|index\\.ts$)|^node_modules/(webgpu|tinyglobby)/" },
    },
    {
      name: "no-built-ins-in-pages",
      severity: "error",
      from: { path: "^runtime/(?!node/)" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "small-library",
      severity: "error",
      comment: "ts-morph is larger than all the rest: a page that compiles takes it by a name of its own.",
      from: { path: "^(src/library|src/compile)\\.ts$" },
      to: { path: "^node_modules/(ts-morph|@ts-morph)/|^codegen/typescript/", reachable: true },
    },
    {
      name: "grammar-alone-knows-chevrotain",
      severity: "error",
      from: { pathNot: "^grammar/" },
      to: { path: "chevrotain" },
    },
    {
      name: "no-circles",
      severity: "error",
      comment:
        "In src/graph a row of the op table names the type of the builder that reads the table; circles of " +
        "values there are the linter's affair (import/no-cycle).",
      from: { pathNot: "^src/graph/" },
      to: { circular: true },
    },
  ],
  options: {
    parser: "swc",
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: [".ts", ".js"],
      exportsFields: ["exports"],
      conditionNames: ["import", "default"],
    },
  },
};
