/**
 * Random pages of the whole language, right by construction: dims, numbers, inputs, parameters, definitions, blocks
 * with several tensors, streams, layers, branches, recurrences, losses and outputs.
 */
import { chooserOf, type Chooser } from "./chooser.js";
import { valueOf, type Axis, type Place, type Readable } from "./values.js";

/** What a page is to be. */
export interface Asked {
  /** Whether derivatives are held against differences. */
  readonly smooth: boolean;
}

/** A page: its text, and whether it has a loss and is trained, or outputs. */
export interface Page {
  readonly text: string;
  readonly trains: boolean;
}

const SIZES = [2, 3, 1, 5, 4, 7, 8, 2, 3, 11];
const DEPTH = 3;

/** A page that is being written. */
interface Draft extends Place {
  readonly tensors: Readable[];
  readonly lines: string[];
  readonly blocks: readonly BlockHead[];
  readonly trains: boolean;
  /** How many names have been given. */
  names: number;
}

/** What a call of a block needs to know of it: all take `y[a, b]` and most `z[b]`, and give [a, b]. */
interface BlockHead {
  readonly name: string;
  readonly hasSecond: boolean;
  readonly hasLoss: boolean;
  readonly text: string;
}

const axisOf = (name: string, of: string, size: number): Axis => ({ name, of, size });
const written = (axes: readonly Axis[]): string => `[${axes.map(({ name }) => name).join(", ")}]`;

/** A parameter, which a value may read from then on. */
function parameter(draft: Pick<Draft, "chooser" | "tensors" | "lines">, name: string, axes: readonly Axis[]): void {
  const start = draft.chooser.one(["normal(0.5)", "uniform(-1, 1)", "ones", "constant(0.3)"]);
  draft.lines.push(`param ${name}${written(axes)} ~ ${start}`);
  draft.tensors.push({ name, axes });
}

/** A block of two axes, whose sizes are found where it is called: here they are those of `t` and `w`. */
function block(chooser: Chooser, number: number, [t, w]: readonly [Axis, Axis], smooth: boolean): BlockHead {
  const [a, b] = [axisOf("a", "t", t.size), axisOf("b", "w", w.size)];
  const [c, d] = [axisOf("c", "w", w.size), axisOf("d", "t", t.size)];
  const hasSecond = chooser.often(5);
  const hasLoss = chooser.often(4);
  const lines = ["dim c = b, d = a"];
  const tensors: Readable[] = [{ name: "y", axes: [a, b] }, ...(hasSecond ? [{ name: "z", axes: [b] }] : [])];
  const place = { chooser, axes: [a, b, c, d], tensors, numbers: ["p"], smooth, lines };
  if (chooser.often(7)) parameter(place, "m", [b, c]);
  if (chooser.often(3)) parameter(place, "g", [b]);
  if (chooser.often(6)) {
    lines.push(`h[a, c] = ${valueOf(place, [a, c], DEPTH - 1)}`);
    tensors.push({ name: "h", axes: [a, c] });
  }
  if (chooser.often(3)) {
    lines.push(
      `r[a, b] = tanh(${valueOf(place, [a, b], 1)} + ${chooser.one(["0.5 * r[a - 1, b]", "r[a + 1, b] * p"])})`,
    );
    tensors.push({ name: "r", axes: [a, b] });
  }
  const own = `part${number}`;
  if (hasLoss) lines.push(`loss ${own} = mean[a, b](y[a, b] * tanh(${valueOf(place, [a, b], 1)}))`);
  const second = hasSecond ? ", z[b]" : "";
  const head = chooser.often(5) ? `(p = 0.75)(y[a, b]${second})` : `(y[a, b]${second}, p: number = 0.4)`;
  const result = `tanh(${valueOf(place, [a, b], DEPTH - 1)}) + p * y[a, b]`;
  const body = [...lines, `return [a, b] = ${result}`].map((line) => `  ${line}\n`).join("");
  return { name: `block${number}`, hasSecond, hasLoss, text: `block block${number}${head} {\n${body}}\n` };
}

/** A tensor of certain axes; there is one of each that is asked for. */
const tensorOf = ({ chooser, tensors }: Draft, axes: readonly string[]): string =>
  chooser.one(
    tensors
      .filter((tensor) => tensor.axes.length === axes.length && tensor.axes.every(({ name }, i) => name === axes[i]))
      .map(({ name }) => name),
  );

const fresh = (draft: Draft, stem: string): string => `${stem}${(draft.names += 1)}`;

/** A call of a block; `through` leaves its first tensor to the stream. */
function call(draft: Draft, { name, hasSecond }: BlockHead, through: boolean): string {
  const first = through ? [] : [tensorOf(draft, ["t", "w"])];
  const second = hasSecond ? [`${through ? "z = " : ""}${tensorOf(draft, ["w"])}`] : [];
  return `${name}(${[...first, ...second].join(", ")}) as ${fresh(draft, "use")}`;
}

/** A recurrence along `t`, of one tensor or of two that need each other. */
function recurrence(draft: Draft): void {
  const { chooser, axes, lines, tensors } = draft;
  const by = (name: string): Axis => axes.find((axis) => axis.name === name)!;
  const left = [by("t"), ...(chooser.often(5) ? [by("w")] : [])];
  const [h, c] = [fresh(draft, "h"), fresh(draft, "c")];
  const [sign, rest] = [chooser.one(["-", "+"]), left.length > 1 ? ", w" : ""];
  const earlier = (name: string): string => {
    const plain = `${name}[t ${sign} 1${rest}]`;
    return chooser.one([plain, plain, `(${plain} else ${valueOf(draft, left, 1)})`, `${name}[t ${sign} 2${rest}]`]);
  };
  const at = written(left);
  if (chooser.often(4)) {
    lines.push(`${h}${at} = tanh(${valueOf(draft, left, 2)} + ${earlier(c)})`);
    lines.push(`${c}${at} = ${h}${at} * 0.5 + 0.25 * ${earlier(c)}`);
    tensors.push({ name: c, axes: left });
  } else {
    const matrix = left.length > 1 && chooser.often(4);
    const summed = matrix ? ` + 0.3 * ${h}[t ${sign} 1, v] * back[v, w]` : "";
    lines.push(`${h}${at} = tanh(${valueOf(draft, left, 2)}) + 0.5 * ${earlier(h)}${summed}`);
  }
  tensors.push({ name: h, axes: left });
}

/** One more value of a stream, which may need the number of a layer. */
function change(draft: Draft, stream: string): void {
  const { chooser, axes, blocks, lines } = draft;
  const left = axes.filter(({ name }) => name === "t" || name === "w").slice(0, 2);
  const usable = blocks.length > 0 && chooser.often(6);
  if (!usable) lines.push(`${stream} = 0.5 * ${stream}[t, w] + tanh(${valueOf(draft, left, 2)})`);
  else {
    const via = chooser.one(["", "", " via residual", " via mine"]);
    const [called, name] = call(draft, chooser.one(blocks), true).split(" as ");
    lines.push(`${stream} through ${called}${via} as ${name}`);
  }
}

/** A stream, and layers that change it. */
function layers(draft: Draft): void {
  const { chooser, axes, lines } = draft;
  const stream = fresh(draft, "x");
  const left = axes.filter(({ name }) => name === "t" || name === "w").slice(0, 2);
  lines.push(`stream ${stream}${written(left)} = ${valueOf(draft, left, 2)}`);
  draft.tensors.push({ name: stream, axes: left });
  const l = fresh(draft, "l");
  const inner: Draft = { ...draft, numbers: [...draft.numbers, l], tensors: [...draft.tensors] };
  lines.push(`repeat ${chooser.one(["2", "layers", "3", "1"])} as ${l}${chooser.one(["", " shared", ""])} {`);
  change(inner, stream);
  if (chooser.often(4)) {
    lines.push(`if ${l} % 2 == ${chooser.below(2)} {`);
    change(inner, stream);
    lines.push(chooser.often(5) ? "} else {" : `} else if ${l} > 1 {`);
    change(inner, stream);
    lines.push("}");
  }
  lines.push("}");
  draft.names = inner.names;
}

/** A definition with one, two or three axes, or none. */
function definition(draft: Draft): void {
  const { chooser, axes, lines, tensors } = draft;
  const by = (names: string): readonly Axis[] =>
    names.split("").map((letter) => axes.find(({ name }) => name === letter)!);
  const left = by(chooser.one(["tw", "t", "w", "vw", "tu", "uwt", "", "kt", "k"]));
  const name = fresh(draft, "d");
  lines.push(`${name}${written(left)} = ${valueOf(draft, left, DEPTH)}`);
  tensors.push({ name, axes: left });
}

/** A label that looks up a row, or a vector that is 1 at the label. */
function lookup(draft: Draft): void {
  const { chooser, axes, lines, tensors, trains } = draft;
  if (!trains) return definition(draft);
  const name = fresh(draft, "row");
  lines.push(`${name}[w] = ${chooser.one(["table[points.label, w]", "table[rows, w] * one_hot[rows](points.label)"])}`);
  tensors.push({ name, axes: axes.filter((axis) => axis.name === "w") });
}

/** What a page computes in the end. */
function ending(draft: Draft): void {
  const { chooser, trains, axes, blocks, lines, tensors } = draft;
  const text = lines.join("\n");
  const used = blocks.filter(({ name, hasLoss }) => hasLoss && text.includes(`${name}(`));
  const last = tensors.at(-1)!;
  const all = axes.slice(0, 2);
  if (!trains) {
    lines.push(`output out${written(last.axes)} = ${valueOf(draft, last.axes, 1)} + ${last.name}${written(last.axes)}`);
    if (chooser.often(4)) lines.push(`output more${written(all)} = ${valueOf(draft, all, 2)}`);
    return;
  }
  lines.push(`loss fit = mean[t, w]((${valueOf(draft, all, 2)} - x[t, w]) ^ 2)`);
  const over = last.axes.length > 0 ? `mean${written(last.axes)}(${last.name}${written(last.axes)} ^ 2)` : last.name;
  const parts = used.map(({ name }) => ` + 0.1 * part${name.slice("block".length)}`);
  lines.push(`loss = fit + 0.5 * ${over}${parts.join("")}`);
  if (chooser.often(5)) lines.push(`metric size = mean[t, w](${valueOf(draft, all, 1)} * x[t, w])`);
  const optimizer = chooser.one(["sgd(rate = 0.1)", "sgd(rate = 0.1, momentum = 0.9)", "adamw(rate = 1e-3)"]);
  lines.push(`train {\nbatch = ${1 + chooser.below(2)}, steps = 2, seed = 1`, `optimizer = ${optimizer}\n}`);
}

/** The page that a list of numbers makes. */
export function pageOf(numbers: readonly number[], { smooth }: Asked): Page {
  const chooser = chooserOf(numbers);
  const [t, w, k] = [chooser.one(SIZES), chooser.one(SIZES), chooser.one([3, 2, 1])];
  const sizes = [axisOf("t", "t", t), axisOf("w", "w", w), axisOf("k", "k", k)] as const;
  const axes = [...sizes, axisOf("u", "t", t), axisOf("v", "w", w)];
  const [T, W, K, U, V] = axes as [Axis, Axis, Axis, Axis, Axis];
  const trains = chooser.often(5);
  const blocks = Array.from({ length: chooser.below(3) }, (_, i) => block(chooser, i, [T, W], smooth));
  const lines = [`dim t = ${t}, w = ${w}, k = ${k}, u = t, v = w, layers = 2, rows = 3`];
  lines.push("number temperature = 0.5, other = 1 / (layers + 1)");
  lines.push("input x[t, w]", "input s[t]");
  const tensors: Readable[] = [
    { name: "x", axes: [T, W] },
    { name: "s", axes: [T] },
  ];
  if (trains) {
    lines.push(`data points = examples("points.json", features = w, classes = rows)`);
    tensors.push({ name: "points.value", axes: [W] });
  }
  const known = ["temperature", "other"];
  const draft: Draft = { chooser, axes, tensors, numbers: known, smooth, lines, blocks, trains, names: 0 };
  parameter(draft, "q", [W]);
  parameter(draft, "taps", [K]);
  parameter(draft, "back", [V, W]);
  if (chooser.often(5)) parameter(draft, "pairs", [T, U]);
  lines.push("param table[rows, w] ~ normal(0.5)");
  const some = 1 + chooser.below(5);
  const kinds = [definition, recurrence, layers, lookup, definition];
  for (let i = 0; i < some; i++) {
    const usable = blocks.length > 0 && chooser.often(3);
    if (!usable) chooser.one(kinds)(draft);
    else {
      const name = fresh(draft, "d");
      lines.push(`${name}[t, w] = 0.5 * ${call(draft, chooser.one(blocks), false)}`);
      tensors.push({ name, axes: [T, W] });
    }
  }
  ending(draft);
  const mine = "connection mine(x[a, b], f) {\n  y[a, b] = f(x)\n  return [a, b] = 0.7 * x[a, b] + 0.6 * y[a, b]\n}\n";
  const body = lines
    .join("\n")
    .split("\n")
    .map((line) => `  ${line}\n`);
  return { text: `model Page {\n${body.join("")}}\n${blocks.map(({ text }) => text).join("")}${mine}`, trains };
}
