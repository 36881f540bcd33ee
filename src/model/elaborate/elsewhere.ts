/**
 * What functions are called in other libraries, and what is written here: most are an expression, and what moves
 * axes about is not needed where axes have names. Every form between backquotes is tested.
 */

const each = (names: string, says: string): (readonly [string, string])[] =>
  names.split(" ").map((name) => [name, says]);

const PRODUCT =
  "a product is written with `*` and named axes: what both sides have and the result has not is summed, `a[t, " +
  "w] * b[w, v]`";
const SHAPE = "axes have names, so nothing is moved or reshaped: name them where they are used, in any order";

/** By name: what to write instead. */
export const FUNCTIONS_ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ...each("matmul mm bmm dot einsum tensordot inner outer linear dense Linear Dense mul multiply bilinear", PRODUCT),
  ...each(
    "reshape view transpose permute flatten squeeze unsqueeze expand expand_dims broadcast broadcast_to tile " +
      "rearrange T",
    SHAPE,
  ),
  ...each(
    "concat cat concatenate stack hstack vstack",
    "nothing is put side by side: give each a matrix of its own, and add `a[t, w] * p[w, v] + b[t, w] * q[w, v]`",
  ),
  ...each("sum_ reduce_sum nansum sum_over", "write `sum[w](x)`"),
  ...each("avg average reduce_mean mean_", "write `mean[w](x)`"),
  ...each("amax reduce_max maximum_along", "write `max[w](x)`"),
  ...each("amin reduce_min", "write `min[w](x)`"),
  ...each("product reduce_prod nanprod", "write `prod[w](x)`"),
  ...each("cumprod", "of what is above 0 it is `exp(cumsum[w](log(x)))`"),
  ...each("cumulative_sum running_sum accumulate", "write `cumsum[w](x)`"),
  ...each("arg_max", "write `argmax[w](x)`"),
  ...each("argmin arg_min", "write `argmax[w](-x)`"),
  ...each("onehot one_hot_encode OneHot to_categorical", "write `one_hot[v](corpus.token)`, whose axis is new"),
  ...each("std stddev", "write `rms[w](x - mean[w](x))`"),
  ...each("var variance", "write `rms[w](x - mean[w](x)) ^ 2`"),
  ...each("l2 l2norm norm2 vector_norm", "write `sqrt(sum[w](x ^ 2))`"),
  ...each(
    "logsumexp lse",
    "write `log(sum[w](exp(x)))`, and where x may be large `max[w](x) - max[w](log_softmax[w](x))`",
  ),
  ...each("maximum", "write `max(x, y)`"),
  ...each("minimum", "write `min(x, y)`"),
  ...each("pow power", "write `x ^ 3`"),
  ...each("square sqr", "write `x ^ 2`"),
  ...each("rsqrt", "write `1 / sqrt(x)`"),
  ...each("reciprocal inv", "write `1 / x`"),
  ...each("neg negative", "write `-x`"),
  ...each("div divide", "write `x / y`"),
  ...each("add plus", "write `x + y`"),
  ...each("sub subtract minus", "write `x - y`"),
  ...each("relu6", "write `min(relu(x), 6)`"),
  ...each("elu", "write `relu(x) + exp(min(x, 0)) - 1`"),
  ...each("leaky_relu leakyrelu LeakyReLU", "write `max(x, 0.01 * x)`"),
  ...each("clamp clip hardtanh", "write `min(max(x, -1), 1)`"),
  ...each("swish SiLU", "write `silu(x)`"),
  ...each("mish", "write `x * tanh(softplus(x))`"),
  ...each("hard_sigmoid hardsigmoid", "write `min(max(x / 6 + 0.5, 0), 1)`"),
  ...each("logistic expit", "write `sigmoid(x)`"),
  ...each("logsigmoid log_sigmoid", "write `-softplus(-x)`"),
  ...each("fabs absolute", "write `abs(x)`"),
  ...each("sgn signum", "write `sign(x)`"),
  ...each("ceil ceiling", "write `-floor(-x)`"),
  ...each("trunc fix", "write `sign(x) * floor(abs(x))`"),
  ...each("frac fractional", "write `x - floor(x)`"),
  ...each("rint around nearest", "write `round(x)`, which takes halves to the even number"),
  ...each("fmod remainder modulo", "write `mod(x, y)`, which has the sign of y"),
  ...each("arctan2", "write `atan2(y, x)`"),
  ...each("atan arctan", "write `atan2(x, 1)`"),
  ...each("asin arcsin", "write `atan2(x, sqrt(1 - x ^ 2))`"),
  ...each("acos arccos", "write `atan2(sqrt(1 - x ^ 2), x)`"),
  ...each("detach stop_gradient stopgradient no_grad", "write `stop(x)`"),
  ...each("Dropout drop alpha_dropout", "write `dropout(x, 0.1)`"),
  ...each("gaussian_noise GaussianNoise randn randn_like", "write `noise(x, 0.1)`, which adds to x while training"),
  ...each("log1p", "write `log(1 + x)`"),
  ...each("expm1", "write `exp(x) - 1`"),
  ...each("log2", "write `log(x) / log(2)`"),
  ...each("log10", "write `log(x) / log(10)`"),
  ...each("ln", "write `log(x)`"),
  ...each("tan", "write `sin(x) / cos(x)`"),
  ...each("sinh", "write `(exp(x) - exp(-x)) / 2`"),
  ...each("cosh", "write `(exp(x) + exp(-x)) / 2`"),
  ...each("huber_loss smooth_l1 smooth_l1_loss HuberLoss SmoothL1Loss", "write `huber(guess, target)`"),
  ...each(
    "bce bce_loss BCELoss BCEWithLogitsLoss binary_cross_entropy_with_logits sigmoid_cross_entropy",
    "write `binary_cross_entropy(logits, targets)`",
  ),
  ...each("hinge_loss HingeEmbeddingLoss", "write `hinge(scores, targets)`, with targets that are -1 or 1"),
  ...each("kl_div kl KLDivLoss", "write `kl_divergence(target, scores)`, of logits"),
  ...each("infonce InfoNCE nt_xent", "write `info_nce(score, others)`"),
  ...each("mse mse_loss MSELoss", "write `mean[w]((x - y) ^ 2)`"),
  ...each("l1_loss mae", "write `mean[w](abs(x - y))`"),
  ...each("tril triu masked_fill mask causal_mask", "a mask is a condition: `softmax[u](s[t, u] where u <= t)`"),
  ...each("nll_loss CrossEntropyLoss crossentropy softmax_cross_entropy", "write `cross_entropy(logits, corpus.next)`"),
  ...each("logsoftmax LogSoftmax", "write `log_softmax[w](x)`; `cross_entropy` takes logits, and needs none"),
  ...each("layernorm layer_norm LayerNorm", "write `norm(x)`, which is `rmsnorm` with a gain"),
  ...each("Embedding embedding", "write `embed(corpus.token)`"),
  ...each("MultiHeadAttention self_attention mha sdpa", "write `attention`"),
  ...each("ffn feedforward feed_forward FFN MLP", "write `mlp`"),
]);
