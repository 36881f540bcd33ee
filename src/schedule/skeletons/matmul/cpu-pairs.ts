/**
 * Packs the operands of a product of bf16: two steps along k that follow each other are one word, and words lie in
 * squares of 16 by 16 as `tiles` of the kernel IR reads them. What runs along k, or along the lines, in memory is read
 * in vectors; what lies otherwise, and what is no whole block, is read word by word.
 */
import * as k from "../../../kernel/build.js";
import { TILE, type Expr, type Lanes, type Type } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { extentOfK, type ProductAxis } from "../../fusion/contraction.js";
import type { Coord } from "../../emit/emit.js";
import type { Writer } from "../../emit/writer.js";
import { transpose } from "../transpose.js";
import { sizesOf, stridesOf } from "./axes.js";
import type { CpuMatmul } from "./cpu-task.js";

/** The array for the pairs of rows. */
export const PAIRS_A = "row_pairs";
/** The array for those of columns. */
export const PAIRS_B = "column_pairs";

/** Lines and words of a square. */
const SIDE = TILE / 2;

/** A range of steps along k. */
export interface Steps {
  readonly from: Expr;
  readonly to: Expr;
}

/** Lines of an operand that are packed: rows of `a` or columns of `b`, from one on to one before which they end. */
export interface PackedLines {
  readonly operand: "a" | "b";
  /** Where the operand begins. */
  readonly base: Expr;
  readonly from: Expr;
  readonly to: Expr;
  readonly axis: ProductAxis;
  readonly steps: Steps;
}

/** A block of TILE lines by TILE steps while it is packed. */
interface PairBlock {
  /** Its first line and step. */
  readonly line: Coord;
  readonly step: Coord;
  /** Where its squares begin in their array. */
  readonly to: Expr;
}

/** Packs the lines in blocks of TILE lines by TILE steps, in the order in which they lie in memory. */
export function packPairs(kernel: CpuMatmul, lines: PackedLines): void {
  const { emitter: e } = kernel.bench;
  const { from, to, steps } = lines;
  const eachLine = (body: (line: Coord) => void): void => e.loop(from, to, TILE, body);
  const eachStep = (body: (step: Coord) => void): void => e.loop(steps.from, steps.to, TILE, body);
  if (runOf(kernel, lines) === "lines") eachStep((step) => eachLine((line) => packBlock(kernel, lines, line, step)));
  else eachLine((line) => eachStep((step) => packBlock(kernel, lines, line, step)));
}

/** Along what an operand runs in memory, so that it can be read in vectors; null where along neither. */
function runOf({ product }: CpuMatmul, { operand, axis }: PackedLines): "steps" | "lines" | null {
  if (product.k.length !== 1) return null;
  return mustAt(product.k, 0)[operand] === 1 ? "steps" : axis[operand] === 1 ? "lines" : null;
}

function packBlock(kernel: CpuMatmul, lines: PackedLines, line: Coord, step: Coord): void {
  const { bench, product, depth } = kernel;
  const { emitter: e } = bench;
  const { axis, steps } = lines;
  const total = extentOfK(product);
  const panel = k.mul(k.sub(line.at, lines.from), k.idx(depth / 2));
  const to = e.bind(k.add(panel, k.mul(k.sub(step.at, steps.from), k.idx(SIDE))));
  const block: PairBlock = { line, step, to };
  const run = runOf(kernel, lines);
  const byWord = (): void => packByWord(kernel, lines, block);
  if (run === null) return byWord();
  const inVectors = (): void => (run === "steps" ? packAlongSteps : packAlongLines)(kernel, lines, block);
  if (axis.size % TILE === 0 && total % TILE === 0) return inVectors();
  const fits = k.and(
    k.le(k.add(line.at, k.idx(TILE)), k.idx(axis.size)),
    k.le(k.add(step.at, k.idx(TILE)), k.idx(total)),
  );
  e.guard(fits, inVectors);
  e.guard(k.not(fits), byWord);
}

/** A constant in each lane. */
const bits = (value: number, lanes: Lanes): Expr => k.splat(k.u32(value), lanes);

/** The bits of an f32 whose upper half is the nearest bf16, of two the even one; what is no number stays none. */
function roundedBits(w: Writer, x: Expr): Expr {
  const { lanes } = x.type;
  const u = w.bind(k.bitcast(x, "u32"));
  const odd = k.and(k.shr(u, bits(16, lanes)), bits(1, lanes));
  const rounded = k.add(u, k.add(odd, bits(0x7fff, lanes)));
  return w.bind(k.select(k.ne(x, x), k.or(u, bits(0x400000, lanes)), rounded));
}

/** Words of two bf16: `early` in the lower halves, `late` in the upper ones. */
function pairs(w: Writer, early: Expr, late: Expr): Expr {
  const { lanes } = early.type;
  const low = k.shr(roundedBits(w, early), bits(16, lanes));
  return w.bind(k.or(low, k.and(roundedBits(w, late), bits(0xffff0000, lanes))));
}

const even = (lanes: number): number[] => Array.from({ length: lanes }, (_, l) => 2 * l);

/** Lines that run along k: their pairs are neighbours. */
function packAlongSteps(kernel: CpuMatmul, lines: PackedLines, block: PairBlock): void {
  const { bench, lanes } = kernel;
  const { emitter: e } = bench;
  const { operand, axis } = lines;
  const buffer = kernel[operand];
  const panel = operand === "a" ? PAIRS_A : PAIRS_B;
  const type: Type = { of: "f32", lanes };
  const origin = e.bind(k.add(lines.base, k.add(k.mul(block.line.at, k.idx(axis[operand])), block.step.at)));
  /** The words of a line from a pair on. */
  const wordsAt = (line: Expr, pair: Expr): Expr => {
    const at = e.bind(k.add(k.add(origin, line), k.mul(pair, k.idx(2))));
    const [first, second] = [0, lanes].map((l) => e.bind(k.load(buffer, k.add(at, k.idx(l)), type))) as [Expr, Expr];
    const early = e.bind(k.shuffle(first, second, even(lanes)));
    const late = e.bind(
      k.shuffle(
        first,
        second,
        even(lanes).map((l) => l + 1),
      ),
    );
    return pairs(e, early, late);
  };
  e.loop(k.idx(0), k.idx(TILE), operand === "a" ? 1 : lanes, (r) => {
    // Squares follow each other, and so do their rows: line r of a is at 16 r, and columns 16 on are a square further.
    if (operand === "a") {
      const line = k.mul(r.at, k.idx(axis.a));
      const to = e.bind(k.add(block.to, k.mul(r.at, k.idx(SIDE))));
      for (let pair = 0; pair < SIDE; pair += lanes)
        e.push(k.store(panel, k.add(to, k.idx(pair)), wordsAt(line, k.idx(pair))));
      return;
    }
    const square = k.mul(k.div(r.at, k.idx(SIDE)), k.idx(SIDE * SIDE));
    const to = e.bind(k.add(block.to, k.add(square, k.rem(r.at, k.idx(SIDE)))));
    for (let pair = 0; pair < SIDE; pair += lanes) {
      const columns = Array.from({ length: lanes }, (_, l) =>
        wordsAt(k.mul(k.add(r.at, k.idx(l)), k.idx(axis.b)), k.idx(pair)),
      );
      for (const [l, row] of transpose(e, columns).entries())
        e.push(k.store(panel, k.add(to, k.idx((pair + l) * SIDE)), row));
    }
  });
}

/** Lines side by side in memory: a pair is a word of one step and one of the next. */
function packAlongLines(kernel: CpuMatmul, lines: PackedLines, block: PairBlock): void {
  const { bench, product, lanes } = kernel;
  const { emitter: e } = bench;
  const { operand } = lines;
  const buffer = kernel[operand];
  const panel = operand === "a" ? PAIRS_A : PAIRS_B;
  const type: Type = { of: "f32", lanes };
  const stride = mustAt(product.k, 0)[operand];
  const origin = e.bind(k.add(lines.base, k.add(block.line.at, k.mul(block.step.at, k.idx(stride)))));
  /** The words of a pair of steps for `lanes` lines from one on. */
  const wordsAt = (line: Expr, pair: Expr): Expr => {
    const at = e.bind(k.add(k.add(origin, line), k.mul(pair, k.idx(2 * stride))));
    const early = e.bind(k.load(buffer, at, type));
    return pairs(e, early, e.bind(k.load(buffer, k.add(at, k.idx(stride)), type)));
  };
  e.loop(k.idx(0), k.idx(SIDE), operand === "b" ? 1 : lanes, (pair) => {
    for (let line = 0; line < TILE; line += lanes) {
      if (operand === "b") {
        const square = Math.floor(line / SIDE) * SIDE * SIDE + (line % SIDE);
        const to = k.add(k.add(block.to, k.mul(pair.at, k.idx(SIDE))), k.idx(square));
        e.push(k.store(panel, e.bind(to), wordsAt(k.idx(line), pair.at)));
        continue;
      }
      const to = e.bind(k.add(block.to, pair.at));
      const steps = Array.from({ length: lanes }, (_, l) => wordsAt(k.idx(line), k.add(pair.at, k.idx(l))));
      for (const [l, row] of transpose(e, steps).entries())
        e.push(k.store(panel, k.add(to, k.idx((line + l) * SIDE)), row));
    }
  });
}

/** Word by word: lines past the end repeat the last one, whose sums nobody reads; steps past the end are zeros. */
function packByWord(kernel: CpuMatmul, lines: PackedLines, block: PairBlock): void {
  const { bench, product } = kernel;
  const { emitter: e } = bench;
  const { operand, axis, base } = lines;
  const total = extentOfK(product);
  const panel = operand === "a" ? PAIRS_A : PAIRS_B;
  e.loop(k.idx(0), k.idx(TILE), 1, (l) => {
    const line = k.min(k.add(block.line.at, l.at), k.idx(axis.size - 1));
    const origin = e.bind(k.add(base, k.mul(line, k.idx(axis[operand]))));
    const square = k.add(
      k.mul(k.div(l.at, k.idx(SIDE)), k.idx(SIDE * SIDE)),
      k.mul(k.rem(l.at, k.idx(SIDE)), k.idx(operand === "a" ? SIDE : 1)),
    );
    const to = e.bind(k.add(block.to, square));
    e.loop(k.idx(0), k.idx(SIDE), 1, (pair) => {
      const valueAt = (late: number): Expr => {
        const step = e.bind(k.add(block.step.at, k.add(k.mul(pair.at, k.idx(2)), k.idx(late))));
        const inside = e.coord(k.min(step, k.idx(total - 1)));
        const place = e.address(e.split(inside, sizesOf(product.k)), stridesOf(product.k, operand)).at;
        const value = k.load(kernel[operand], k.add(origin, place), k.F32);
        return e.bind(k.select(k.lt(step, k.idx(total)), value, k.f32(0)));
      };
      const word = pairs(e, valueAt(0), valueAt(1));
      e.push(k.store(panel, k.add(to, k.mul(pair.at, k.idx(operand === "a" ? 1 : SIDE))), word));
    });
  });
}
