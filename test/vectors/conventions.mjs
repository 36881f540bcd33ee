/**
 * Connections of residual streams as others implement them, as pages of mhc, and how a vector's tensors lie beside a
 * page's: weights as rows over flattened lanes [k, n C], tokens before lanes [t, n, C].
 */

/** Tokens and features of every vector. */
export const [TOKENS, CHANNELS] = [3, 4];
/** Numbers a token of Qwen4-Exp's gates. */
export const RANK = 3;

/** Where an element of a page's tensor stands in a vector's tensor of that name. */
const place = (of, shape, at) => ({ of, shape, at });
const inOrder = (of, shape) =>
  place(of, shape, (...coords) => coords.reduce((flat, coord, axis) => flat * shape[axis] + coord, 0));
const byToken = (of, n) => place(of, [n, TOKENS, CHANNELS], (i, t, c) => (t * n + i) * CHANNELS + c);

/** Coefficients number `number` of a connection: `count` rows of `fn` and `base` from row `from` on. */
const gate = (path, n, number, from, count) => ({
  [`${path}.phi`]: place("fn", [n, CHANNELS, count], (i, c, k) => ((from + k) * n + i) * CHANNELS + c),
  [`${path}.a`]: place("scale", [], () => number),
  [`${path}.b`]: place("base", [count], (k) => from + k),
});

const qwen = (path, n) => ({
  [`${path}.lanes_normed.weight`]: inOrder("weight", [n, CHANNELS]),
  [`${path}.gated_mean.down`]: place("down", [n, CHANNELS, RANK], (i, c, k) => (k * n + i) * CHANNELS + c),
  [`${path}.gated_mean.up`]: place("up", [RANK, n, CHANNELS], (k, i, c) => (i * CHANNELS + c) * RANK + k),
});

const gates = (path, n, hasMix) => ({
  ...gate(`${path}.read`, n, 0, 0, n),
  ...gate(`${path}.write`, n, 1, n, n),
  ...(hasMix ? gate(`${path}.mix`, n, 2, 2 * n, n * n) : {}),
});
const gateShapes = (rows, scales) => (n) => ({
  fn: [rows(n), n * CHANNELS],
  scale: [scales],
  base: [rows(n)],
});
const qwenShapes = (n) => ({ weight: [n * CHANNELS], down: [RANK, n * CHANNELS], up: [n * CHANNELS, RANK] });

/**
 * By name: the connection of std that changes the stream (or the block that is a head), the sets that it needs, the
 * vector's parameters with their shapes, where the page's stand in them, and its coefficients by their definitions.
 */
export const CONVENTIONS = {
  "mhc-paper": {
    via: "mhc(Mixing)",
    set: "birkhoff(truncated)",
    shapes: gateShapes((n) => 2 * n + n * n, 3),
    parameters: (n) => gates("squash.mhc", n, true),
    coefficients: (n) => [
      ["read", "[t, n] = sigmoid(gate(u, r, n, zeros) as read)", [n]],
      ["write", "[t, n] = 2 * sigmoid(gate(u, r, n, zeros) as write)", [n]],
      ["mix", "[t, n, m] = Mixing(gate(u, r, Mixing.free, zeros) as mix)", [n, n]],
    ],
  },
  "deepseek-v4": {
    via: "deepseek_v4(Mixing)",
    set: "birkhoff(convention = deepseek, truncated)",
    shapes: gateShapes((n) => 2 * n + n * n, 3),
    parameters: (n) => gates("squash.deepseek_v4", n, true),
    coefficients: (n) => [
      ["read", "[t, n] = sigmoid(gate(u, r, n, zeros) as read) + 1e-6", [n]],
      ["write", "[t, n] = 2 * sigmoid(gate(u, r, n, zeros) as write)", [n]],
      ["mix", "[t, m, n] = Mixing(gate(u, r, Mixing.free, zeros) as mix)", [n, n]],
    ],
  },
  "deepseek-v4-head": {
    head: "deepseek_v4_head",
    shapes: gateShapes((n) => n, 1),
    parameters: (n) => gate("deepseek_v4_head.read", n, 0, 0, n),
    coefficients: (n) => [["read", "[t, n] = sigmoid(gate(u, r, n, zeros) as read) + 1e-6", [n]]],
  },
  "hy-v4": {
    via: "hunyuan_v4",
    shapes: gateShapes((n) => 2 * n, 2),
    parameters: (n) => gates("squash.hunyuan_v4", n, false),
    coefficients: (n) => [
      ["read", "[t, n] = sigmoid(gate(u, r, n, zeros) as read) + 1e-6", [n]],
      ["write", "[t, n] = 2 * sigmoid(gate(u, r, n, zeros) as write) + 1e-6", [n]],
    ],
  },
  "qwen4-exp": {
    via: `qwen4(${RANK})`,
    shapes: (n) => ({ ...qwenShapes(n), inject: [n, n * CHANNELS] }),
    parameters: (n) => ({
      ...qwen("squash.qwen4", n),
      "squash.qwen4.lane_writes.inject": inOrder("inject", [n, n, CHANNELS]),
    }),
    coefficients: () => [],
  },
  "qwen4-exp-head": {
    head: `qwen4_head(${RANK})`,
    shapes: qwenShapes,
    parameters: (n) => qwen("qwen4_head", n),
    coefficients: () => [],
  },
};

/** The vectors that there are: every convention with these lanes. */
export const LANES = [1, 2, 3, 4, 5, 8];

const header = ({ set }, n) => `model Vector {
  dim n = ${n}, t = ${TOKENS}, w = ${CHANNELS}, m = n
${set ? `  manifold Mixing = ${set}\n` : ""}  input u[n, t, w]
`;

/** The page of a connection around tanh, or of a head. */
export const pageOf = (convention, n) => `${header(convention, n)}${
  convention.head
    ? `  output y[t, w] = ${convention.head}(u)\n}`
    : `  stream x[n, t, w] = u
  x through squash() via ${convention.via}
  output y[n, t, w] = x
}
block squash(y[t, w]) { return [t, w] = tanh(y) }`
}
`;

/** The page whose outputs are the coefficients; null where a convention has none that others compute alike. */
export function coefficientsPageOf(convention, n) {
  const outputs = convention.coefficients(n).map(([name, text]) => `  output ${name}${text}\n`);
  return outputs.length ? `${header(convention, n)}  r[t] = rms[n, w](u)\n${outputs.join("")}}\n` : null;
}

/** Where the page's input and output stand in the vector's. */
export const inputOf = (n) => byToken("x", n);
export const outputOf = ({ head }, n) => (head ? inOrder("y", [TOKENS, CHANNELS]) : byToken("y", n));

/** Calls `visit` with each flat index of a page's tensor, and with where that element stands in the vector's. */
function each({ shape, at }, visit) {
  const size = shape.reduce((product, n) => product * n, 1);
  for (let flat = 0; flat < size; flat++) {
    const coords = [];
    for (let axis = shape.length - 1, rest = flat; axis >= 0; axis--) {
      coords.unshift(rest % shape[axis]);
      rest = Math.floor(rest / shape[axis]);
    }
    visit(flat, at(...coords));
  }
}

/** A page's tensor out of the vector's. */
export function taken(at, data) {
  const values = [];
  each(at, (flat, from) => (values[flat] = data[from]));
  return values;
}

/** Puts a page's tensor into the vector's. */
export const put = (at, values, data) => each(at, (flat, to) => (data[to] = values[flat]));
