/**
 * One training step (forward, backward, plain gradient descent) of the network of specs/nanogpt.mhc in jax-js, timed
 *   by peers.mjs beside
 * our own.   node jaxjs_step.mjs wasm|webgpu [steps]   Needs @jax-js/jax where it runs; for webgpu also the package
 *                                                      webgpu and a driver.
 * Prints one JSON line: the median and the least milliseconds of a step, and of the first, which compiles.
 */
const [device = "wasm", steps = "6", vocabulary = "65"] = process.argv.slice(2);
globalThis.navigator ??= { userAgent: "node", hardwareConcurrency: 2 };
if (device === "webgpu") {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu: create([]), userAgent: "node", hardwareConcurrency: 2 },
    configurable: true,
  });
}
const { numpy: np, init, defaultDevice, jit, random, valueAndGrad, nn, tree } = await import("@jax-js/jax");
await init();
defaultDevice(device);

const batch = 12;
const context = 64;
const width = 128;
const layers = 4;
const heads = 4;
const vocab = Number(vocabulary);
let key = 0;
const normal = (...shape) => random.normal(random.key(key++), shape).mul(0.02);
let parameters = {
  token: normal(vocab, width),
  position: normal(context, width),
  gain: np.ones([width]),
  blocks: Array.from({ length: layers }, () => ({
    gain1: np.ones([width]),
    qkv: normal(width, 3 * width),
    out: normal(width, width),
    gain2: np.ones([width]),
    up: normal(width, 4 * width),
    down: normal(4 * width, width),
  })),
};
const causal = np.tri(context).greater(0.5);

function norm(x, gain) {
  const centred = x.ref.sub(x.mean(-1, { keepdims: true }));
  const variance = np.square(centred.ref).mean(-1, { keepdims: true });
  return centred.mul(np.reciprocal(np.sqrt(variance.add(1e-5)))).mul(gain);
}

function loss(p, tokens, targets) {
  let x = np.matmul(tokens, p.token.ref).add(p.position);
  for (const block of p.blocks) {
    const qkv = np.transpose(
      np.matmul(norm(x.ref, block.gain1), block.qkv).reshape([batch, context, 3, heads, width / heads]),
      [2, 0, 3, 1, 4],
    );
    const [q, k, v] = [qkv.ref.slice(0), qkv.ref.slice(1), qkv.slice(2)];
    const scores = np.where(
      causal.ref,
      np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(1 / Math.sqrt(width / heads)),
      -1e9,
    );
    const mixed = np.transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3]).reshape([batch, context, width]);
    x = x.add(np.matmul(mixed, block.out));
    x = x.ref.add(np.matmul(nn.gelu(np.matmul(norm(x, block.gain2), block.up)), block.down));
  }
  const logits = np.matmul(norm(x, p.gain), np.transpose(p.token));
  return nn
    .logSoftmax(logits, -1)
    .mul(targets)
    .sum()
    .neg()
    .div(batch * context);
}

const step = jit(valueAndGrad(loss));
const times = [];
for (let i = 0; i < Number(steps); i++) {
  const begun = performance.now();
  const draw = () =>
    nn.oneHot(
      np.array(
        Int32Array.from({ length: batch * context }, () => Math.floor(Math.random() * vocab)),
        { shape: [batch, context] },
      ),
      vocab,
    );
  const [value, gradients] = step(tree.ref(parameters), draw(), draw());
  parameters = tree.map((weight, gradient) => weight.sub(gradient.mul(0.01)), parameters, gradients);
  await value.data();
  await parameters.token.ref.data();
  times.push(performance.now() - begun);
}
const rest = times.slice(1).sort((a, b) => a - b);
console.log(
  JSON.stringify({
    peer: `jax-js ${device}`,
    median_ms: rest[rest.length >> 1],
    min_ms: rest[0],
    first_step_ms: times[0],
  }),
);
process.exit(0);
