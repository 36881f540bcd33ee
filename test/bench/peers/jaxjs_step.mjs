/**
 * A training step (forward, backward, plain gradient descent) of the network of specs/nanogpt.mhc in jax-js, as a step
 * program of `main.mjs`, which puts it beside an installed @jax-js/jax:
 *
 *   node jaxjs_step.mjs --device wasm|webgpu --width 128 --layers 4 --heads 4 --context 64 --batch 12 --vocab 93
 *
 * For webgpu it needs the package webgpu and a driver. What a step program prints and reads stands in `our_step.mjs`.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const text = (value) => ({ type: "string", default: value });
const { values: flags } = parseArgs({
  options: {
    device: text("wasm"),
    width: text("128"),
    layers: text("4"),
    heads: text("4"),
    context: text("64"),
    batch: text("12"),
    vocab: text("93"),
  },
});
globalThis.navigator ??= { userAgent: "node", hardwareConcurrency: 2 };
if (flags.device === "webgpu") {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu: create([]), userAgent: "node", hardwareConcurrency: 2 },
    configurable: true,
  });
}
const { numpy: np, init, defaultDevice, jit, random, valueAndGrad, nn, tree } = await import("@jax-js/jax");
await init();
defaultDevice(flags.device);

const [batch, context, width] = [Number(flags.batch), Number(flags.context), Number(flags.width)];
const [layers, heads, vocab] = [Number(flags.layers), Number(flags.heads), Number(flags.vocab)];
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

const gradientsOf = jit(valueAndGrad(loss));
const draw = () =>
  nn.oneHot(
    np.array(
      Int32Array.from({ length: batch * context }, () => Math.floor(Math.random() * vocab)),
      { shape: [batch, context] },
    ),
    vocab,
  );

/** Milliseconds of one step, its batch included. */
async function step() {
  const begun = performance.now();
  const [value, gradients] = gradientsOf(tree.ref(parameters), draw(), draw());
  parameters = tree.map((weight, gradient) => weight.sub(gradient.mul(0.01)), parameters, gradients);
  await value.data();
  await parameters.token.ref.data();
  return performance.now() - begun;
}

async function timed(steps) {
  const times = [];
  for (let i = 0; i < steps; i++) times.push(await step());
  return times;
}

const say = (message) => console.log(JSON.stringify(message));
say({ first: (await step()) / 1000 });
say({ step_ms: Math.min(...(await timed(3))), ready: true, peer: `jax-js ${flags.device}`, parameters: null });
for await (const line of createInterface({ input: process.stdin })) {
  say({ ms: await timed(Number(line.split(" ")[1])) });
}
process.exit(0);
