/** Explanations of 5xx and 6xx: training, cost and targets. */
import { explained, outside, training } from "./explanation.js";

const BODY = `
  dim heads = 2, layers = 2
  stream x[context, width] = embed(corpus.token)
  repeat layers {
    x through attention(heads)
    x through mlp(hidden = 32)
  }
`;
const LOSS = "  loss = cross_entropy(unembed(x), corpus.next)\n";

/** What is said of each code. */
export const settings = {
  MHC501: explained(
    "The section, the optimizer or the schedule has no setting of this name. Names of other frameworks are " +
      "recognized, and the fix says what a setting is called here.",
    "docs/optimizers.md",
    training(`${BODY}${LOSS}`, "optimizer = adamw(lr = 1e-3)"),
    ["lr =", "rate ="],
  ),
  MHC502: explained(
    "The setting is there, and this value of it makes no sense.",
    "docs/optimizers.md",
    training(`${BODY}${LOSS}`, "optimizer = adamw(rate = -1e-3)"),
    ["-1e-3", "1e-3"],
  ),
  MHC503: explained(
    "Something that has no good default is missing: the rate of an optimizer, the loss of a page that trains, what a " +
      "budget may shrink.",
    "docs/language.md#train",
    training(`${BODY}${LOSS}`, "optimizer = adamw()"),
    ["adamw()", "adamw(rate = 1e-3)"],
  ),
  MHC504: outside(
    "The budget is smaller than what the page needs, even with everything recomputed, or with everything left out " +
      "that may shrink. Ask for less, or let more shrink.",
    "docs/cost.md",
    "A page says `memory <= …` in `train`, or a bound in `cost`, that no plan of it meets. It is found when the page " +
      "is compiled, since only plans have a size.",
  ),
  MHC505: explained(
    "Units can be left out along an axis that is only summed over. This axis is also something else: an axis of " +
      "data, of an output or of a normalization, or of size 1.",
    "docs/cost.md#cost-in-the-objective",
    training(`${BODY}${LOSS}  cost {\n    energy <= 50%\n    shrink context\n  }\n`),
    ["shrink context", "shrink mlp.hidden"],
  ),
  MHC506: explained(
    "All parameters are frozen, or all of a group, so that training changes nothing of them.",
    "docs/optimizers.md#frozen-parameters",
    training(`${BODY}${LOSS}`, 'optimizer = adamw(rate = 1e-3)\n    freeze "*"'),
    ['freeze "*"', "freeze embed"],
  ),
  MHC601: outside(
    "The page asks for something that the device lacks, such as half precision. Choose another device, or do without.",
    "docs/precision.md",
    "A page with `precision = f16` is compiled for a device without it.",
  ),
  MHC602: outside(
    "The page asks for products of bf16, and has none that are large enough to be multiplied so.",
    "docs/precision.md",
    "A page with `precision = bf16` is compiled, and all of its products are small.",
  ),
};
