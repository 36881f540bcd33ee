/**
 * The layering rule (ARCHITECTURE.md): floors from the lowest to the highest. A room imports only rooms of lower floors,
 * and rooms of one floor do not import each other. `runtime` stands alone.
 */
const floors = [
  { diagnostics: "^src/diagnostics/" },
  { grammar: "^grammar/", graph: "^src/graph/", kernel: "^src/kernel/" },
  { manifolds: "^src/manifolds/", passes: "^src/passes/", cost: "^src/cost/", codegen: "^codegen/" },
  { model: "^src/model/", schedule: "^src/schedule/" },
  { step: "^src/step/" },
  { compile: "^src/compile/" },
  { doors: "^src/(index|library)\\.ts$" },
  { tools: "^src/tools/" },
  { cli: "^src/cli/" },
];

/** Floors inside of two rooms. */
const inSchedule = [
  { fusion: "^src/schedule/fusion/" },
  { emit: "^src/schedule/emit/" },
  { memory: "^src/schedule/memory/" },
  { skeletons: "^src/schedule/skeletons/" },
  { plan: "^src/schedule/[a-z-]+\\.ts$" },
];
const inModel = [
  { typed: "^src/model/[a-z-]+\\.ts$" },
  { proofs: "^src/model/proofs/" },
  { elaborate: "^src/model/elaborate/", lower: "^src/model/lower/" },
];

/** What each room of a house may not import: the rooms above it, and its neighbours. */
const downward = (house) =>
  house.flatMap((floor, level) =>
    Object.entries(floor).map(([room, path]) => {
      const neighbours = Object.entries(floor).flatMap(([other, its]) => (other === room ? [] : [its]));
      const above = house.slice(level + 1).flatMap((higher) => Object.values(higher));
      return {
        name: `${room}-imports-only-lower-floors`,
        severity: "error",
        comment: "A room imports only what stands on lower floors (ARCHITECTURE.md).",
        from: { path },
        to: { path: [...neighbours, ...above].join("|") || "^$" },
      };
    }),
  );

module.exports = {
  forbidden: [
    ...downward(floors),
    ...downward(inSchedule),
    ...downward(inModel),
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
        "The compiler knows of the runtime only the plan, its roles, its sources of data and its prices, the registry of devices and what a device is, the one implementation of Threefry, records and look-ups, and the text of threads in C.",
      from: { path: "^(src/(?!cli/|tools/)|codegen|grammar)" },
      to: {
        path: "^runtime/(?!((plan|roles|sources|prices|registry|device|threefry|records|lookup)|native/team)\\.ts$)",
      },
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
      to: { path: "^runtime/(node/|index\\.ts$)|^node_modules/(webgpu|koffi|tinyglobby)/" },
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
      from: { path: "^src/(library|compile/.+)\\.ts$" },
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
      comment: "No circle of imports, types included.",
      from: {},
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
