/**
 * Words of other languages where .mhc has others: what begins an item there, and what stands inside of expressions.
 */

const BLOCK = "a block is `block name(sizes)(x[t, w]) { … return [t, w] = … }`";
const MODEL = "a network is `model Name { … }`, a part of one `block name(sizes)(x[t, w]) { … }`";
const PLAIN = "a definition has no word before it, `y[t] = …`, and a size is a `dim`: `dim width = 64`";
const REPEAT = "what is done several times stands in `repeat layers { … }`";
const CHOICE =
  "parts of a page are chosen by `if l % 2 == 0 { … } else { … }`, values by a condition: `sum[u](x[u] where u <= t)`";
const VALUE = "a value is chosen by a condition: `sum[u](x[u] where u <= t)`";
const USE = 'another file is taken with `use "./blocks.mhc"`';
const PARAM = "what is trained is a `param`: `param w[t] ~ normal(0.02)`";

const words = (list: string, fix: string): (readonly [string, string])[] => list.split(" ").map((word) => [word, fix]);

/** What begins an item in other languages, with what to write. */
export const FOREIGN: ReadonlyMap<string, string> = new Map([
  ...words("let const var val int float double auto set tensor axis axes size", PLAIN),
  ...words("def fn fun func function layer", BLOCK),
  ...words("class struct module network net", MODEL),
  ...words("for while loop do foreach", REPEAT),
  ...words("unless switch match elif", CHOICE),
  ...words("import from include require", USE),
  ...words("weight weights parameter parameters variable", PARAM),
  ...words(
    "training optimizer",
    "how a model is trained stands in `train { batch = 12, steps = 1000, optimizer = … }`",
  ),
  ...words("dataset", 'data is named with `data corpus = characters("text.txt", window = context)`'),
  ...words("constraints constraint", "what must hold stands in `constrain { … }`"),
]);

/** What stands inside of expressions in other languages, with what to write. */
export const INSIDE: ReadonlyMap<string, string> = new Map([
  ...words("if then", VALUE),
  ["elif", "write `else if`"],
  ["for", "an axis is summed by its name: `sum[u](…)`"],
  ["not", "turn the comparison round: `<` for `>=`, `!=` for `==`"],
  ["is", "write `==`"],
  ...words("with using", "a connection stands behind `via`: `x through mlp(8) via hc`"),
  ...words("thru into to", "a stream goes `through` a block: `x through mlp(8)`"),
]);
