/**
 * Weights of products inside a region, packed once a group: block of columns by block of columns in the order of the
 * sum, so that a tile reads them in one run and no column is strided. Few columns (gates) are spelt out, in blocks that
 * may hold those of several products of one operand. Many (the gradient of the streams) lie in blocks of the columns
 * that are in registers together, or, where their number does not divide so, in rows, one for each term of the sum.
 */
import type { Node, NodeWith } from "../../../graph/node.js";
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { across, inAll, still, widthOf as widthAt } from "../../emit/coords.js";
import type { Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import { letters } from "../../../graph/ops/structure.js";
import type { Cluster } from "../../fusion/clusters.js";
import { rowMajor } from "../../fusion/views.js";
import { transpose } from "../transpose.js";
import { SPELT_OUT, type ProductStage } from "./stages.js";
import { positions } from "./tiles.js";
import { anchorOf } from "../anchor.js";

/** Vectors of columns in a register block. */
export const VECTORS = 2;
/** Columns of such a block. */
const blockOf = ({ profile }: Workbench): number => profile.lanes * VECTORS;

/** A product of a token's operand with weights that all tokens share, read letter by letter. */
export interface WeightedProduct {
  readonly cluster: Cluster;
  readonly node: NodeWith<"contract">;
  readonly weights: Node;
  /** The operand that belongs to the token. */
  readonly streams: Node;
  /** The letters of the weights, of the streams and of the result. */
  readonly weightLetters: string;
  readonly streamLetters: string;
  readonly resultLetters: string;
  /** Letters of the weights that the result keeps, in the order of the weights, and their extents. */
  readonly columns: string;
  readonly columnSizes: readonly number[];
  /** Letters that are summed, in the order of the streams, and their extents. */
  readonly summed: string;
  readonly terms: readonly number[];
}

/** Reads the product of a cluster; `operand` is the one with weights. */
export function readWeighted(cluster: Cluster, operand: 0 | 1): WeightedProduct {
  const node = anchorOf(cluster, "contract");
  const { a, b, out } = letters(node.attrs.spec);
  const [weightLetters, streamLetters] = operand === 0 ? [a, b] : [b, a];
  const weights = node.inputs[operand];
  const columns = [...weightLetters].filter((letter) => out.includes(letter));
  const summed = [...streamLetters].filter((letter) => !out.includes(letter));
  const sizeIn = (letter: string): number => mustAt(weights.shape, weightLetters.indexOf(letter));
  return {
    cluster,
    node,
    weights,
    streams: node.inputs[operand === 0 ? 1 : 0],
    weightLetters,
    streamLetters,
    resultLetters: out,
    columns: columns.join(""),
    columnSizes: columns.map(sizeIn),
    summed: summed.join(""),
    terms: summed.map(sizeIn),
  };
}

/** The products of a stage. */
export const readStage = ({
  clusters: [first, ...others],
  operand,
}: ProductStage): [WeightedProduct, ...WeightedProduct[]] => [
  readWeighted(first, operand),
  ...others.map((cluster) => readWeighted(cluster, operand)),
];

/** One vector of columns of a product, or a single column. */
export interface Column {
  readonly product: WeightedProduct;
  /** Its coordinates along the product's columns. */
  readonly at: readonly Coord[];
  readonly lanes: Lanes;
}

/** Columns that are in registers together. */
export type ColumnBlock = readonly [Column, ...Column[]];

/** Neighbours in a block that are one vector. */
export interface ColumnVector {
  /** At least as many as its columns; what is beyond them is zero. */
  readonly lanes: Lanes;
  /** Its columns, and the lane at which each begins. */
  readonly parts: readonly { readonly column: Column; readonly first: number }[];
}

/** The number of columns in some parts of a block. */
const columnsOf = (columns: readonly Column[]): number => columns.reduce((sum, { lanes }) => sum + lanes, 0);

/** Words of a row of a block in its panel. */
export const widthOf = (vectors: readonly ColumnVector[]): number => vectors.reduce((sum, { lanes }) => sum + lanes, 0);

/**
 * The columns of a block as vectors. Four lanes are filled by one column each; wider vectors hold as many neighbours as
 * fit, and all vectors of a block are of one width, so that one word of the token's operand is spread once for all.
 */
export function vectorsOf(block: readonly Column[], most: Lanes): ColumnVector[] {
  if (most <= 4) return block.map((column) => ({ lanes: column.lanes, parts: [{ column, first: 0 }] }));
  const taken: Column[][] = [];
  for (const column of block) {
    const last = taken.at(-1);
    if (last && columnsOf(last) + column.lanes <= most) last.push(column);
    else taken.push([column]);
  }
  const widest = Math.max(...taken.map(columnsOf));
  const lanes = ([4, 8, 16] as const).find((width) => width >= widest) ?? most;
  return taken.map((columns) => ({
    lanes,
    parts: columns.map((column, i) => ({ column, first: columnsOf(columns.slice(0, i)) })),
  }));
}

/** The array that holds the weights of a stage. */
export interface PackedWeights {
  readonly panel: string;
  /** Blocks of columns that are spelt out, each with all of its terms; null where there are too many columns. */
  readonly blocks: readonly ColumnBlock[] | null;
}

/** Declares the panel of a stage and fills it; to be called in the outermost scope. */
export function packWeights(bench: Workbench, stage: ProductStage): PackedWeights {
  const { emitter: e, profile } = bench;
  const products = readStage(stage);
  const [first] = products;
  const panel = e.fresh("panel");
  if (stage.columns > SPELT_OUT) {
    e.push(k.arrayS(panel, "f32", sizeOf(first.terms) * stage.columns));
    if (isBlocked(bench, first)) packBlocks(bench, first, panel);
    else packRows(bench, first, panel);
    return { panel, blocks: null };
  }
  const columns = products.flatMap((product) => spellOut(product, profile.lanes));
  const blocks = inBlocks(columns, profile.lanes);
  const words = blocks.reduce((sum, block) => sum + widthOf(vectorsOf(block, profile.lanes)), 0);
  e.push(k.arrayS(panel, "f32", sizeOf(first.terms) * words));
  packSpelt(bench, first.terms, panel, blocks);
  return { panel, blocks };
}

function inBlocks(columns: readonly Column[], lanes: Lanes): ColumnBlock[] {
  const vectors = vectorsOf(columns, lanes);
  const most = lanes === 1 ? 4 : VECTORS;
  const blocks: ColumnBlock[] = [];
  for (let from = 0; from < vectors.length; from += most) {
    const [first, ...others] = vectors
      .slice(from, from + most)
      .flatMap(({ parts }) => parts.map(({ column }) => column));
    if (first) blocks.push([first, ...others]);
  }
  return blocks;
}

/** The columns of a product as vectors where the last axis holds such, else one by one. */
const spellOut = (product: WeightedProduct, lanes: Lanes): Column[] =>
  positions(product.columnSizes, lanes).map((at) => ({ product, at, lanes: widthAt(at) }));

/** Packs columns that are spelt out: block after block, each with a row for every term. */
function packSpelt(bench: Workbench, terms: readonly number[], panel: string, blocks: readonly ColumnBlock[]): void {
  const { emitter: e, profile } = bench;
  let start = 0;
  for (const block of blocks) {
    const vectors = vectorsOf(block, profile.lanes);
    const width = widthOf(vectors);
    const from = start;
    const strides = rowMajor(terms).map((stride) => stride * width);
    e.nest(terms, (summed) => {
      const row = e.address(summed, strides).at;
      let offset = from;
      for (const { lanes, parts } of vectors) {
        for (const { column, first } of parts) {
          const value = inAll(weightAt(bench, column.product, column.at, summed), column.lanes);
          e.push(k.store(panel, k.add(row, k.idx(offset + first)), value));
        }
        for (let pad = columnsOf(parts.map(({ column }) => column)); pad < lanes; pad++)
          e.push(k.store(panel, k.add(row, k.idx(offset + pad)), k.f32(0)));
        offset += lanes;
      }
    });
    start += width * sizeOf(terms);
  }
}

function weightAt(
  { emitter: e }: Workbench,
  { weights, weightLetters, columns, summed }: WeightedProduct,
  columnCoords: readonly Coord[],
  termCoords: readonly Coord[],
): Expr {
  const coords = [...weightLetters].map((letter) =>
    columns.includes(letter)
      ? mustAt(columnCoords, columns.indexOf(letter))
      : mustAt(termCoords, summed.indexOf(letter)),
  );
  return e.emit(weights, coords);
}

/**
 * Whether the columns of a product that has many lie in blocks of those that are in registers together, one after the
 * other.
 */
const isBlocked = (bench: Workbench, { columnSizes }: WeightedProduct): boolean =>
  bench.profile.lanes !== 1 && mustAt(columnSizes, columnSizes.length - 1) % blockOf(bench) === 0;

/** Many columns of one product: the panel has them in rows, one for each term of the sum. */
function packRows(bench: Workbench, product: WeightedProduct, panel: string): void {
  const { emitter: e } = bench;
  const { columnSizes, terms } = product;
  const rank = columnSizes.length;
  const strides = [...rowMajor(columnSizes), ...rowMajor(terms).map((stride) => stride * sizeOf(columnSizes))];
  e.nest([...columnSizes, ...terms], (coords) => {
    const to = e.address(coords, strides).at;
    e.push(k.store(panel, to, weightAt(bench, product, coords.slice(0, rank), coords.slice(rank))));
  });
}

/** Blocks of columns, each with all terms. Where the weights run along the terms, four by four are turned. */
function packBlocks(bench: Workbench, product: WeightedProduct, panel: string): void {
  const { emitter: e } = bench;
  const { columnSizes: sizes, terms } = product;
  const width = blockOf(bench);
  const blockStrides = rowMajor(sizes).map((stride) => stride * sizeOf(terms));
  const termStrides = rowMajor(terms).map((stride) => stride * width);
  const turned =
    product.weightLetters.endsWith(mustAt(product.summed, product.summed.length - 1)) &&
    mustAt(terms, terms.length - 1) % 4 === 0;
  e.nest(sizes.slice(0, -1), (outer) =>
    e.loop(k.idx(0), k.idx(mustAt(sizes, sizes.length - 1)), width, (first) => {
      const columns = Array.from({ length: width }, (_, c): Coord[] => [
        ...outer,
        c === 0 ? first : e.coord(k.add(first.at, k.idx(c))),
      ]);
      const block = e.address([...outer, first], blockStrides).at;
      const place = (summed: readonly Coord[]): Expr => k.add(block, e.address(summed, termStrides).at);
      if (turned) return packTurned(bench, product, panel, columns, place);
      e.nest(terms, (summed) => {
        for (const [c, column] of columns.entries())
          e.push(k.store(panel, k.add(place(summed), k.idx(c)), weightAt(bench, product, column, summed)));
      });
    }),
  );
}

/** A block of columns whose weights run along the terms: vectors of four terms become vectors of four columns. */
function packTurned(
  bench: Workbench,
  product: WeightedProduct,
  panel: string,
  columns: readonly (readonly Coord[])[],
  place: (summed: readonly Coord[]) => Expr,
): void {
  const { emitter: e } = bench;
  const { terms } = product;
  e.nest(terms.slice(0, -1), (before) =>
    e.loop(k.idx(0), k.idx(mustAt(terms, terms.length - 1)), 4, (term) => {
      const to = place([...before, term]);
      for (let c = 0; c < columns.length; c += 4) {
        const rows = columns
          .slice(c, c + 4)
          .map((column) => weightAt(bench, product, column, [...before, across(term, 4)]));
        for (const [l, row] of transpose(e, rows).entries())
          e.push(k.store(panel, k.add(to, k.idx(l * columns.length + c)), row));
      }
    }),
  );
}

/** Where the terms of a product with many columns stand in its panel, and where those of some columns begin. */
export function panelOf(
  bench: Workbench,
  product: WeightedProduct,
): { readonly strides: readonly number[]; readonly begin: (columns: readonly Coord[]) => Expr } {
  const { columnSizes, terms } = product;
  const blocked = isBlocked(bench, product);
  const columnStrides = rowMajor(columnSizes).map((stride) => stride * (blocked ? sizeOf(terms) : 1));
  return {
    strides: rowMajor(terms).map((stride) => stride * (blocked ? blockOf(bench) : sizeOf(columnSizes))),
    begin: (columns) => bench.emitter.address(columns.map(still), columnStrides).at,
  };
}
