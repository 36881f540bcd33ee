/** Programs of constraints and claims, right and wrong, for the checker and the search for counterexamples. */
export interface Program {
  readonly constrain: readonly string[];
  /** The manifold of the mixes; `birkhoff(exact)` when it does not say. */
  readonly mixing?: string;
  /** The connection; `mhc(Mixing)` when it does not say. */
  readonly via?: string;
  readonly blocks?: string;
}

const square =
  "connection fixed(x[n, t, w], f) { dim m = n\n param mix[n, m] ~ identity(4)\n y[t, w] = f(total(x))\n " +
  "return [n, t, w] = mix[n, m] * x[m, t, w] + y[t, w] }";

export const programs: readonly Program[] = [
  // Gains of streams.
  { constrain: ["gain(x) <= 1.6"] },
  { constrain: ["gain(x) <= 1.001"] },
  { constrain: ["gain(x) <= 1"] },
  { constrain: ["gain(x) <= 1 monitored"] },
  { constrain: ["gain(x) <= 1.6"], mixing: "birkhoff(truncated)" },
  { constrain: ["gain(x) <= 1.6 monitored"], mixing: "birkhoff(truncated)" },
  { constrain: ["gain(x) <= 1.6"], mixing: "birkhoff(convention = deepseek, truncated)" },
  { constrain: ["gain(x) <= 1.001"], mixing: "birkhoff(by = permutations)" },
  { constrain: ["gain(x) <= 1.001"], mixing: "birkhoff(by = kronecker)" },
  { constrain: ["gain(x) <= 1.001"], mixing: "birkhoff(by = orthostochastic)" },
  { constrain: ["gain(x) <= 1"], mixing: "identity" },
  { constrain: ["gain(x) <= 1.001"], mixing: "circulant" },
  { constrain: ["gain(x) <= 4097"], mixing: "stochastic" },
  { constrain: ["gain(x) <= 1000"], mixing: "stochastic" },
  { constrain: ["gain(x) <= 64.1"], mixing: "orthogonal" },
  { constrain: ["gain(x) <= 1.001"], mixing: "spectral_ball(radius = 0.5)" },
  { constrain: ["gain(x) <= 2"], mixing: "spd" },
  { constrain: ["gain(x) <= 1.001"], mixing: "mixture(birkhoff(exact), circulant, identity)" },
  { constrain: ["gain(x) <= 1.001"], mixing: "mixture(birkhoff(truncated), identity)" },
  { constrain: ["gain(x) <= 4098"], mixing: "mixture(birkhoff(by = permutations), stochastic)" },
  { constrain: ["gain(x) <= 1"], via: "identity" },
  { constrain: ["gain(x) <= 0.5"], via: "identity" },
  { constrain: ["gain(x) <= 1.6"], via: "hc" },
  { constrain: ["gain(x) <= 1.6 monitored"], via: "hc" },
  // 2 per mix of orthogonal 4 x 4 matrices, six of them.
  { constrain: ["gain(x) <= 64.1"], mixing: "stiefel" },
  { constrain: ["gain(x) <= 64"], mixing: "stiefel" },
  { constrain: ["fixed.mix on birkhoff(exact)", "gain(x) <= 1.001"], via: "fixed", blocks: square },
  { constrain: ["fixed.mix on birkhoff(exact)", "gain(x) <= 1.001 monitored"], via: "fixed", blocks: square },
  { constrain: ["gain(x) <= 1.001"], via: "fixed", blocks: square },
  {
    constrain: ["gain(x) <= 2 monitored"],
    via: "odd",
    blocks: "connection odd(x[n, t, w], f) { y[t, w] = f(total(x))\n return [n, t, w] = tanh(x) + y[t, w] }",
  },
  {
    constrain: ["gain(x) <= 2"],
    via: "odd",
    blocks: "connection odd(x[n, t, w], f) { y[t, w] = f(total(x))\n return [n, t, w] = tanh(x) + y[t, w] }",
  },
  { constrain: ["gain(y) <= 2"] },
  { constrain: ["gain(mlp.up) <= 2"] },
  { constrain: ["gain(x) <= 0"] },
  { constrain: ["gain <= 2"] },
  { constrain: ["lipschitz(x) <= 2"] },
  // From a neuron, a head or a layer to the parameter.
  { constrain: ["mlp.up on stiefel", "norm(mlp.up) <= 1.001"] },
  { constrain: ["mlp.up on stiefel(by = householder)", "norm(mlp.up) <= 1.001"] },
  { constrain: ["mlp.up on stiefel", "norm(mlp.up) <= 0.9"] },
  { constrain: ["mlp.up each hidden on sphere", "norm(mlp.up) <= 5.7"] },
  { constrain: ["mlp.up each hidden on sphere", "norm(mlp.up) <= 5.6"] },
  { constrain: ["mlp.up each w on sphere(radius = 0.5)", "norm(mlp.up) <= 2.001"] },
  { constrain: ["mlp.up on sphere(radius = 3)", "norm(mlp.up) <= 3.001"] },
  { constrain: ["attention.out each heads on stiefel", "norm[heads, d](attention.out) <= 1.415"] },
  { constrain: ["attention.out each heads on stiefel", "norm[heads, d](attention.out) <= 1.4"] },
  { constrain: ["attention.out each heads on stiefel", "norm[heads](attention.out) <= 2"] },
  { constrain: ["attention.out each heads on stiefel", "norm(attention.out) <= 2"] },
  { constrain: ["attention.wq each heads on stiefel", "norm[w](attention.wq) <= 1.415"] },
  { constrain: ["mlp.up on spectral_ball(radius = 2)", "norm(mlp.up) <= 2.001"] },
  { constrain: ["mlp.up on box(from = -0.1, to = 0.05)", "norm(mlp.up) <= 2.263"] },
  { constrain: ["mlp.up each w on simplex", "norm(mlp.up) <= 4.001"] },
  { constrain: ["mlp.up on stochastic", "norm(mlp.up) <= 4.001"] },
  { constrain: ["mlp.up each hidden on hyperbolic(curvature = 4)", "norm(mlp.up) <= 2.83"] },
  { constrain: ["mlp.up on low_rank(rank = 2)", "norm(mlp.up) <= 2"] },
  { constrain: ["mlp.up on nonnegative", "norm(mlp.up) <= 2"] },
  { constrain: ["norm(mlp.up) <= 2"] },
  { constrain: ["norm(mlp.up) <= 2 monitored"] },
  { constrain: ["norm(mlp.sideways) <= 2"] },
  { constrain: ["norm[q](mlp.up) <= 2"] },
  { constrain: ["norm[w, hidden](mlp.up) <= 2"] },
  // From the layers to the model.
  { constrain: ["mlp.up on stiefel", "mlp.down on stiefel", "norm(mlp.up) * norm(mlp.down) <= 1.001"] },
  {
    constrain: [
      "mlp.up on stiefel",
      "mlp.down on sphere(radius = 2)",
      "product[layers](norm(mlp.up) * norm(mlp.down)) <= 8.01",
    ],
  },
  {
    constrain: [
      "mlp.up on stiefel",
      "mlp.down on sphere(radius = 2)",
      "product[layers](norm(mlp.up) * norm(mlp.down)) <= 7",
    ],
  },
  { constrain: ["mlp.up on stiefel", "product[layers](norm(mlp.up) * norm(mlp.down)) <= 8"] },
  { constrain: ["mlp.up on stiefel", "product[layers](norm(mlp.up) * norm(mlp.down)) <= 8 monitored"] },
  {
    constrain: [
      "mlp.up on spectral_ball(radius = 0.5)",
      "mlp.down on spectral_ball(radius = 2)",
      "product[layers](norm(mlp.up) * norm(mlp.down)) <= 1.001",
    ],
  },
  // Budgets, shared.
  { constrain: ["product[layers](norm(mlp.up)) <= 8 shared"] },
  { constrain: ["product[layers](norm[w](attention.wq)) <= 0.5 shared"] },
  { constrain: ["product[layers](norm(mlp.up)) <= 8 shared", "norm(mlp.up) <= 2"] },
  { constrain: ["mlp.up on stiefel", "product[layers](norm(mlp.up)) <= 8 shared"] },
  { constrain: ["norm(mlp.up) <= 8 shared"] },
  { constrain: ["gain(x) <= 8 shared"] },
  { constrain: ["2 * product[layers](norm(mlp.up)) <= 8 shared"] },
  { constrain: ["product[layers](norm(mlp.up) * norm(embed.table)) <= 8 shared"] },
  { constrain: ["product[layers](norm(mlp.up) * norm(mlp.up)) <= 8 shared"] },
  { constrain: ["product[layers](norm(mlp.up)) <= 0 shared"] },
  { constrain: ["norm(embed.table) <= 8 shared"] },
  { constrain: ["product[depth](norm(mlp.up)) <= 8"] },
  { constrain: ["product[layers](gain(x)) <= 8"] },
  { constrain: ["mlp.up on stiefel", "2 * norm(mlp.up) <= 2.001"] },
];
