/**
 * The ratios that matter, each with the limit that it is to keep. A ratio is of medians over the rounds of one run, in
 * which both were timed in turns; where one of them was not timed there is no value.
 */

/** What a run has of a contender, milliseconds; null when it was not timed. */
const msOf = (results, setting, key, threads) =>
  results.settings[setting]?.find((row) => row.key === key && row.threads === threads)?.median_ms ?? null;

const ratio = (a, b) => (a === null || b === null ? null : a / b);

/** The fastest of some contenders: what it takes, and who it is. */
function fastest(results, setting, threads, keys) {
  const timed = keys
    .map((key) => ({ key, ms: msOf(results, setting, key, threads) }))
    .filter(({ ms }) => ms !== null)
    .sort((a, b) => a.ms - b.ms);
  return timed[0] ?? { key: null, ms: null };
}

const TORCH = ["torch-eager", "torch-fused", "torch-compiled", "package-eager", "package-compiled"];
const TORCH_BF16 = ["torch-fused-bf16", "torch-compiled-bf16"];
const AVX2 = ["torch-avx2-fused", "torch-avx2-compiled"];

/** Ours to the fastest of some ways of a peer, a row for each number of threads. */
const toFastest = (results, setting, words, limit, { own = "native", keys, threads = results.threads }) =>
  threads.map((n) => {
    const best = fastest(results, setting, n, keys);
    const what = `${setting}, ${n} thread${n > 1 ? "s" : ""}: ${words}`;
    const value = ratio(msOf(results, setting, own, n), best.ms);
    return { setting, what: best.key ? `${what} (${best.key})` : what, limit, value };
  });

/** The limits on steps beside PyTorch. */
const besideTorch = (results) => [
  ...toFastest(results, "nanogpt", "native / PyTorch's fastest way", 0.7, { keys: TORCH }),
  ...toFastest(results, "moby-dick", "native / PyTorch's fastest way", 0.5, { keys: TORCH }),
  ...toFastest(results, "moby-dick", "native / PyTorch, eager", 0.22, { keys: ["torch-eager"] }),
  ...toFastest(results, "moby-dick", "native / hyper-connections, compiled", 0.38, { keys: ["package-compiled"] }),
  ...toFastest(results, "wide", "native / PyTorch's fastest way", 0.85, { keys: TORCH }),
  ...toFastest(results, "wide-mhc", "native / PyTorch's fastest way", 0.7, { keys: TORCH }),
  ...toFastest(results, "nanogpt", "8 lanes / PyTorch held to AVX2", 0.75, { own: "native-lanes8", keys: AVX2 }),
  ...toFastest(results, "moby-dick", "8 lanes / PyTorch held to AVX2", 0.55, { own: "native-lanes8", keys: AVX2 }),
];

/** The limits of our steps among themselves. */
function amongOurs(results) {
  const residual = { keys: ["native-residual"] };
  const two = results.threads.includes(1) && results.threads.includes(2);
  const gain = (setting) => ({
    setting,
    what: `${setting}: two threads / one`,
    limit: 0.58,
    value: ratio(msOf(results, setting, "native", 2), msOf(results, setting, "native", 1)),
  });
  return [
    ...toFastest(results, "moby-dick", "mHC / our residual page", 1.4, residual),
    ...toFastest(results, "wide-mhc", "mHC / our residual page", 1.12, residual),
    ...(two ? [gain("nanogpt"), gain("moby-dick")] : []),
  ];
}

/** The limits of half precision, at two threads. */
function ofHalf(results) {
  const threads = results.threads.filter((n) => n === 2);
  const half = { own: "native-bf16", threads };
  const both = { ...half, keys: [...TORCH, ...TORCH_BF16] };
  const own = { ...half, keys: ["native"] };
  return [
    ...toFastest(results, "nanogpt", "bf16 / f32", 0.7, own),
    ...toFastest(results, "moby-dick", "bf16 / f32", 0.7, own),
    ...toFastest(results, "wide", "bf16 / f32", 0.6, own),
    ...toFastest(results, "wide-mhc", "bf16 / f32", 0.6, own),
    ...toFastest(results, "wide", "bf16 / PyTorch's fastest of f32 and bf16", 0.65, both),
    ...toFastest(results, "wide-mhc", "bf16 / PyTorch's fastest of f32 and bf16", 0.65, both),
  ];
}

/** The limits of our WebAssembly on Node 24 beside that of the build before. */
const ofWasm = (results) =>
  ["nanogpt", "moby-dick"].flatMap((setting) => {
    const how = { own: "wasm-node24", keys: ["wasm-node24-before"] };
    return toFastest(results, setting, "WebAssembly, Node 24 / the build before", 0.85, how);
  });

/** The limits of products beside the plain kernel: at least so much of its rate. */
function ofProducts({ products }) {
  if (!products) return [];
  return Object.entries({ alone: "alone", step: "in a step" }).flatMap(([of, words]) =>
    ["768x128x512", "768x512x128", "1024x2048x512"].map((shape) => ({
      what: `product ${shape} ${words} / the plain kernel`,
      limit: 0.85,
      least: true,
      value: ratio(products[of]?.[shape] ?? null, products.plain?.[shape] ?? null),
    })),
  );
}

/** The limits of first steps: seconds, bytes, and beside torch.compile. */
function ofFirst({ first }) {
  if (!first) return [];
  const start = (name) => first.starts?.find((row) => row.name === name) ?? { s: null, bytes: null };
  const torch = first.torch.find(({ name }) => name.includes("moby-dick"));
  const bytes = start("nanogpt, cold").bytes;
  return [
    {
      what: "moby-dick: first step, cold / torch.compile's",
      limit: 0.2,
      value: ratio(start("moby-dick, cold").s, torch?.s ?? null),
    },
    { what: "nanogpt: first step, cold, s", limit: 10, value: start("nanogpt, cold").s },
    { what: "nanogpt: memory of it, GB", limit: 1, value: bytes === null ? null : bytes / 1e9 },
    { what: "nanogpt: first step, cached, s", limit: 0.5, value: start("nanogpt, cached").s },
    { what: "48 layers: first step, cold, s", limit: 15, value: start("nanogpt with 48 layers, cold").s },
  ];
}

/** Every limit: what it is of, its value or null, and whether it holds. */
export function limitsOf(results) {
  const steps = [besideTorch, amongOurs, ofHalf, ofWasm].flatMap((limits) => limits(results));
  const asked = steps.filter(({ setting }) => results.settings[setting]);
  return [...asked, ...ofProducts(results), ...ofFirst(results)].map(({ what, value, limit, least = false }) => {
    const holds = value === null ? null : least ? value >= limit : value <= limit;
    return { what, value, bound: `${least ? ">=" : "<="} ${limit}`, holds };
  });
}
