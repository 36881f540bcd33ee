/**
 * Convolutions: a product of which one operand is a read at affine indices, `x[t + k - 1, w] * taps[k, w, v]`. The
 * product skeletons walk operands by strides, and such a read is one if it stays inside of its tensor and goes
 * forwards; so the tensor is copied once with zeros around it, and what each tap reads is never made. Three rules bring
 * a graph to that form:
 *
 *   the derivative   sum(read(product)) is a product of reads: what a tap read is not made for each tap
 *   taps backwards   t - k + 1 goes forwards in k' = taps - 1 - k, which turns the taps around
 *   edges            a read that leaves its tensor reads a copy with zeros where it leaves
 */
import { mustAt } from "../../runtime/lookup.js";
import { axisIndex, constantIndex, extentOf, isWithin } from "../graph/affine.js";
import type { Builder } from "../graph/builder.js";
import type { AffineIndex, Node, NodeWith } from "../graph/node.js";
import { letters, type Letters } from "../graph/ops/structure.js";

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** A read of one operand of a product by names for axes. */
interface NamedRead {
  readonly node: Node;
  readonly term: string;
}

/**
 * The sum over a read of a product, as a product of reads; null for any other node, and where the axes do not make one.
 */
export function pushedIntoProduct(b: Builder, node: NodeWith<"sum">): Node | null {
  const read = node.inputs[0];
  if (read.op !== "affine") return null;
  const product = read.inputs[0];
  if (product.op !== "contract") return null;
  const spec = letters(product.attrs.spec);
  const summed = [...spec.a].filter((letter) => !spec.out.includes(letter));
  const rank = read.shape.length;
  if (rank + summed.length > ALPHABET.length) return null;
  /** Of each letter of the product, the index that it is read at; a letter that is summed is an axis of its own. */
  const indexOf = (letter: string): AffineIndex => {
    const at = spec.out.indexOf(letter);
    return at >= 0 ? mustAt(read.attrs.at, at) : axisIndex(rank + summed.indexOf(letter));
  };
  const sizes = [...read.shape, ...summed.map((letter) => sizeOfLetter(product, spec, letter))];
  const side = (operand: Node, term: string): NamedRead => {
    const indices = [...term].map(indexOf);
    const used = [...new Set(indices.flatMap(({ terms }) => terms.map(([axis]) => axis)))].sort((x, y) => x - y);
    const at = indices.map((index) => ({
      ...index,
      terms: index.terms.map(([axis, step]): [number, number] => [used.indexOf(axis), step]),
    }));
    const shape = used.map((axis) => mustAt(sizes, axis));
    return { node: b.affine(operand, shape, at), term: used.map((axis) => ALPHABET.charAt(axis)).join("") };
  };
  const [x, y] = [side(product.inputs[0], spec.a), side(product.inputs[1], spec.b)];
  const kept = read.shape.flatMap((_, axis) => (node.attrs.axes.includes(axis) ? [] : [ALPHABET.charAt(axis)]));
  const gone = Array.from(ALPHABET.slice(0, sizes.length)).filter((letter) => !kept.includes(letter));
  const stands = (letter: string): boolean => x.term.includes(letter) || y.term.includes(letter);
  if (!kept.every(stands) || !gone.every((letter) => x.term.includes(letter) && y.term.includes(letter))) return null;
  return b.contract(`${x.term},${y.term}->${kept.join("")}`, x.node, y.node);
}

const sizeOfLetter = ({ inputs: [x, y] }: NodeWith<"contract">, { a, b }: Letters, letter: string): number =>
  a.includes(letter) ? mustAt(x.shape, a.indexOf(letter)) : mustAt(y.shape, b.indexOf(letter));

/** A product whose operands that are reads go by strides; null where it has none that does not. */
export function strided(b: Builder, node: NodeWith<"contract">): Node | null {
  const forwards = tapsForwards(b, node) ?? node;
  if (forwards.op !== "contract") return null;
  const [x, y] = forwards.inputs.map((operand) => (operand.op === "affine" ? withEdges(b, operand) : operand));
  const isSame = x === forwards.inputs[0] && y === forwards.inputs[1];
  if (isSame || !x || !y) return forwards === node ? null : forwards;
  return b.contract(forwards.attrs.spec, x, y);
}

/** The summed letters that an operand reads backwards, turned around in both operands. */
function tapsForwards(b: Builder, node: NodeWith<"contract">): Node | null {
  const spec = letters(node.attrs.spec);
  const turned = [...spec.a].filter(
    (letter) =>
      !spec.out.includes(letter) &&
      [isBackwards(node.inputs[0], spec.a, letter), isBackwards(node.inputs[1], spec.b, letter)].includes(true),
  );
  if (turned.length === 0) return null;
  const turn = (operand: Node, term: string): Node => {
    const at = [...term].map((letter, axis): AffineIndex =>
      turned.includes(letter)
        ? { offset: mustAt(operand.shape, axis) - 1, terms: [[axis, -1]], divisor: 1 }
        : axisIndex(axis),
    );
    return operand.op === "affine" ? composed(b, operand, at) : b.affine(operand, operand.shape, at);
  };
  return b.contract(node.attrs.spec, turn(node.inputs[0], spec.a), turn(node.inputs[1], spec.b));
}

/** Whether a read goes back as a letter goes on. */
function isBackwards(operand: Node, term: string, letter: string): boolean {
  const axis = term.indexOf(letter);
  if (operand.op !== "affine" || axis < 0) return false;
  const steps = operand.attrs.at.flatMap(({ terms }) => terms.filter(([of]) => of === axis).map(([, step]) => step));
  return steps.length > 0 && steps.every((step) => step < 0);
}

/** A read whose every axis is read at an index in turn: one read. Indices of axes have divisor 1. */
function composed(b: Builder, read: NodeWith<"affine">, at: readonly AffineIndex[]): Node {
  const through = read.attrs.at.map(({ offset, terms, divisor }): AffineIndex => {
    const steps = new Map<number, number>();
    let from = offset;
    for (const [axis, step] of terms) {
      const index = mustAt(at, axis);
      from += step * index.offset;
      for (const [inner, by] of index.terms) steps.set(inner, (steps.get(inner) ?? 0) + step * by);
    }
    return { offset: from, terms: [...steps].filter(([, step]) => step !== 0), divisor };
  });
  return b.affine(read.inputs[0], read.shape, through);
}

/** A read that goes by strides: of a copy of its tensor with zeros around it, where it leaves that. */
function withEdges(b: Builder, read: NodeWith<"affine">): Node {
  const [x] = read.inputs;
  const { at } = read.attrs;
  if (at.some(({ terms }) => terms.some(([, step]) => step < 0))) return read;
  const axes = at.map((index, axis) => {
    const { least, most } = extentOf(index, read.shape);
    const isPlain = index.offset === 0 && isWithin(index, mustAt(x.shape, axis), read.shape);
    return isPlain ? null : { least, size: most - least + 1, divisor: index.divisor };
  });
  if (axes.every((axis) => axis === null)) return read;
  const shape = axes.map((axis, i) => axis?.size ?? mustAt(x.shape, i));
  const copy = b.affine(
    x,
    shape,
    axes.map((axis, i): AffineIndex =>
      axis ? { offset: axis.least, terms: axis.size > 1 ? [[i, 1]] : [], divisor: axis.divisor } : axisIndex(i),
    ),
  );
  return b.affine(
    copy,
    read.shape,
    at.map((index, i) => {
      const axis = axes[i];
      if (!axis) return index;
      return index.terms.length ? { ...index, offset: index.offset - axis.least, divisor: 1 } : constantIndex(0);
    }),
  );
}
