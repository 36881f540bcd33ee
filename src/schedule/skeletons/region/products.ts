/**
 * Products with weights, inside a region: blocks of four tokens by two vectors of columns in registers, which sum over
 * weights that were packed for them (`weights.ts`). Products whose results add up go through the same registers one
 * after the other (`chains.ts`).
 */
import type { Node } from "../../../graph/node.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import { mustAt, mustGet } from "../../../../runtime/lookup.js";
import { across, inAll, lanesFrom, vectorRuns } from "../../emit/coords.js";
import { constant, type Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import { unflatten } from "../../emit/reductions.js";
import { rowMajor } from "../../fusion/views.js";
import { storeRoots } from "../rows.js";
import { productsOf, rootOf, startOf } from "./chains.js";
import type { ChainStage, ProductStage, RegionStage } from "./stages.js";
import type { Prefetch } from "./prefetch.js";
import { clamps, neighbours, type TileWalk, type Token } from "./tiles.js";
import {
  packWeights,
  panelOf,
  readStage,
  readWeighted,
  VECTORS,
  vectorsOf,
  widthOf,
  type Column,
  type ColumnBlock,
  type ColumnVector,
  type PackedWeights,
  type WeightedProduct,
} from "./weights.js";

/** Tokens of a register block, by how many vectors the registers hold. */
const rowsFor = ({ registers = 16 }: KernelProfile): number => (registers >= 32 ? 8 : 4);
/** As many terms of a sum are spelt out. */
const FEW_TERMS = 16;

/** The products of one kernel. */
export interface Products {
  readonly bench: Workbench;
  /** The tokens' axes of a node, in the order of a token's parts. */
  readonly axes: (node: Node) => readonly number[];
  readonly packed: ReadonlyMap<ProductStage, PackedWeights>;
  /** What is fetched for the next tile, and in which stage. */
  readonly ahead: Prefetch | null;
}

/**
 * Packs the weights of all stages; to be called in the outermost scope. `begin` is told which stage is packed next.
 */
export function createProducts(
  bench: Workbench,
  axes: Products["axes"],
  stages: readonly RegionStage[],
  begin: (stage: RegionStage) => void,
  ahead: Prefetch | null,
): Products {
  const packed = new Map<ProductStage, PackedWeights>();
  for (const stage of stages) {
    begin(stage);
    for (const product of productsOf(stage)) packed.set(product, packWeights(bench, product));
  }
  return { bench, axes, packed, ahead };
}

/** Some tokens by some columns, whose sums are in registers. */
interface RegisterBlock {
  readonly walk: TileWalk;
  readonly rows: readonly [Token, ...Token[]];
  readonly columns: ColumnBlock;
}

/** Where the weights of a block stand in their panel. */
interface BlockWeights {
  /** The product whose terms are walked. */
  readonly product: WeightedProduct;
  readonly panel: string;
  /** Words from term to term, along each axis of the sum. */
  readonly strides: readonly number[];
  /** Where each vector of the block begins. */
  readonly offsets: readonly Expr[];
  /** What is emitted with every term, or once where terms are spelt out. */
  readonly also?: (() => void) | null;
}

/** A stage of products of one operand, for all tokens of a tile. */
export function runProducts(p: Products, stage: ProductStage, walk: TileWalk): void {
  const { emitter: e } = p.bench;
  const { panel, blocks } = mustGet(p.packed, stage);
  const [product] = readStage(stage);
  if (!blocks) {
    const { strides, begin } = panelOf(p.bench, product);
    return eachBlock(p, walk, product, (block) => {
      const offsets = sideBySide(p, block.columns, begin(block.columns[0].at));
      fetchWithBlock(p, stage, walk, product, block);
      sumBlock(p, block, { product, panel, strides, offsets });
    });
  }
  const height = heightOf(p, walk);
  let from = 0;
  for (const columns of blocks) {
    const width = widthOf(vectorsOf(columns, p.bench.profile.lanes));
    const offset = k.idx(from);
    e.loop(k.idx(0), walk.count, height, (local) => {
      const rows = neighbours(p.bench, walk, local, height);
      const strides = rowMajor(product.terms).map((stride) => stride * width);
      const turns = blocks.length * Math.ceil(tileOf(walk) / height) * sizeOf(product.terms);
      const fetch = p.ahead?.stage === stage ? p.ahead : null;
      const also = fetch && ((): void => fetch.next(turns));
      const offsets = sideBySide(p, columns, offset);
      sumBlock(p, { walk, rows, columns }, { product, panel, strides, offsets, also });
    });
    from += width * sizeOf(product.terms);
  }
}

/**
 * Products whose results add up: the registers of one start from what it adds, those of the next go on, and what reads
 * the last result takes it from them.
 */
export function runChain(p: Products, stage: ChainStage, walk: TileWalk): void {
  const { products, after } = stage;
  const { emitter: e } = p.bench;
  const links = products.map((link) => ({
    product: readWeighted(link.clusters[0], link.operand),
    ...mustGet(p.packed, link),
  }));
  const { product: first } = mustAt(links, 0);
  const root = rootOf(mustAt(links, links.length - 1).product.cluster);
  const start = startOf(first.cluster)?.start ?? null;
  const stored = after?.roots ?? [root];
  eachBlock(p, walk, first, (block) => {
    const at = block.rows.map((token) => block.columns.map((column) => resultAt(p, first, token, column.at)));
    fetchWithBlock(p, stage, walk, first, block);
    const sums = at.map((row) =>
      row.map((coords, c) => accumulator(p, mustAt(block.columns, c).lanes, start && e.emit(start, coords))),
    );
    for (const { product, panel } of links) {
      const { strides, begin } = panelOf(p.bench, product);
      const offsets = sideBySide(p, block.columns, begin(block.columns[0].at));
      // Columns of one product are whole vectors, or single ones.
      const vectors = block.columns.map((column): ColumnVector => ({
        lanes: column.lanes,
        parts: [{ column, first: 0 }],
      }));
      sumTerms(p, block, vectors, { product, panel, strides, offsets }, sums);
    }
    for (const c of block.columns.keys()) {
      for (const i of block.rows.keys()) {
        const coords = mustAt(mustAt(at, i), c);
        e.define(root, coords, mustAt(mustAt(sums, i), c));
        storeRoots(p.bench, stored, coords);
      }
    }
  });
}

/** Tokens of a tile, as far as they are known: those of a whole one. */
const tileOf = ({ count, tile }: TileWalk): number => (count.kind === "const" ? count.value : tile);

/** Fetches ahead once for a whole block of a product that has many columns. */
function fetchWithBlock(
  p: Products,
  stage: RegionStage,
  walk: TileWalk,
  { columnSizes }: WeightedProduct,
  { columns }: RegisterBlock,
): void {
  const { lanes } = p.bench.profile;
  // Blocks that are narrower than the others are few.
  if (p.ahead?.stage !== stage || columns.length < VECTORS) return;
  const last = mustAt(columnSizes, columnSizes.length - 1);
  const wide = Math.floor(last / (lanes * VECTORS));
  p.ahead.next(Math.ceil(tileOf(walk) / heightOf(p, walk)) * sizeOf(columnSizes.slice(0, -1)) * wide);
}

/** Where the vectors of a block begin, whose columns stand side by side, in rows and in blocks. */
function sideBySide({ bench }: Products, columns: readonly Column[], begin: Expr): Expr[] {
  const vectors = vectorsOf(columns, bench.profile.lanes);
  return vectors.map((_, v) => bench.emitter.bind(k.add(begin, k.idx(widthOf(vectors.slice(0, v))))));
}

/** Blocks of some tokens by some columns of a product that has many. */
function eachBlock(
  { bench }: Products,
  walk: TileWalk,
  product: WeightedProduct,
  body: (block: RegisterBlock) => void,
): void {
  const { emitter: e, profile } = bench;
  const height = heightOf({ bench }, walk);
  const outerSizes = product.columnSizes.slice(0, -1);
  const last = mustAt(product.columnSizes, product.columnSizes.length - 1);
  e.loop(k.idx(0), walk.count, height, (local) => {
    const rows = neighbours(bench, walk, local, height);
    e.nest(outerSizes, (outer) => {
      const columns = (from: Coord, lanes: Lanes, vectors: number): void => {
        const column = (at: Coord): Column => ({
          product,
          at: [...outer, across(at, lanes)],
          lanes,
        });
        const others = Array.from({ length: vectors - 1 }, (_, v) =>
          column(e.coord(k.add(from.at, k.idx((v + 1) * lanes)))),
        );
        body({ walk, rows, columns: [column(from), ...others] });
      };
      const { lanes } = profile;
      const vectors = lanes === 1 ? 4 : VECTORS;
      const step = lanes * vectors;
      const main = last - (last % step);
      if (main > 0) e.loop(k.idx(0), k.idx(main), step, (c) => columns(c, lanes, vectors));
      for (const { from, to, width } of vectorRuns(last, lanes).filter((run) => run.to > main)) {
        const begin = Math.max(from, main);
        if (width > 1 && to - begin === width) columns(constant(begin), width, 1);
        else e.loop(k.idx(begin), k.idx(to), width, (c) => columns(c, width, 1));
      }
    });
  });
}

/** A register that collects a sum, from `start` or from zero. */
function accumulator({ bench: { emitter: e } }: Products, lanes: Lanes, start: Expr | null): Expr {
  const name = e.fresh("acc");
  e.push(k.varS(name, inAll(start ?? k.f32(0), lanes)));
  return k.ref(name, { of: "f32", lanes });
}

/** The coordinates of a result. */
function resultAt({ axes }: Products, product: WeightedProduct, token: Token, columns: readonly Coord[]): Coord[] {
  const tokens = axes(product.node);
  return [...product.resultLetters].map((letter, axis) => {
    const part = tokens.indexOf(axis);
    return part >= 0 ? mustAt(token.parts, part) : mustAt(columns, product.columns.indexOf(letter));
  });
}

/** Tokens of a register block: fewer where all tiles are lower. */
function heightOf({ bench: { profile } }: Pick<Products, "bench">, walk: TileWalk): number {
  const rows = rowsFor(profile);
  return walk.whole && walk.count.kind === "const" ? Math.min(rows, walk.count.value) : rows;
}

/** All positions along the sum: spelt out when they are few. */
function walkTerms({ bench }: Products, sizes: readonly number[], body: (summed: readonly Coord[]) => void): void {
  if (sizeOf(sizes) > FEW_TERMS) return bench.emitter.nest(sizes, body);
  for (let flat = 0; flat < sizeOf(sizes); flat++) body(unflatten(flat, sizes).map(constant));
}

/** Some tokens times some columns, in registers: the sum, and what becomes of it. */
function sumBlock(p: Products, block: RegisterBlock, weights: BlockWeights): void {
  const { rows, columns } = block;
  const vectors = vectorsOf(columns, p.bench.profile.lanes);
  const sums = rows.map(() => vectors.map(({ lanes }) => accumulator(p, lanes, null)));
  sumTerms(p, block, vectors, weights, sums);
  for (const [v, { parts }] of vectors.entries()) {
    for (const { column, first } of parts) {
      for (const [i, token] of rows.entries()) {
        const coords = resultAt(p, column.product, token, column.at);
        const value = lanesFrom(mustAt(mustAt(sums, i), v), first, column.lanes);
        p.bench.emitter.define(column.product.node, coords, p.bench.emitter.bind(value));
        storeRoots(p.bench, column.product.cluster.roots, coords);
      }
    }
  }
}

/** Adds to every accumulator of a block its sum over the terms of a product. */
function sumTerms(
  p: Products,
  { walk, rows }: RegisterBlock,
  vectors: readonly ColumnVector[],
  { product, panel, strides, offsets, also }: BlockWeights,
  sums: readonly (readonly Expr[])[],
): void {
  const { emitter: e } = p.bench;
  const widths = [...new Set(vectors.map(({ lanes }) => lanes))].sort((a, b) => b - a);
  walkTerms(p, product.terms, (summed) => {
    also?.();
    const row = e.address(summed, strides).at;
    const weights = vectors.map(({ lanes }, v) =>
      e.bind(k.load(panel, k.add(row, mustAt(offsets, v)), { of: "f32", lanes })),
    );
    const streamsOf = readerOf(p, walk, rows, product, summed);
    for (const [i, token] of rows.entries()) {
      const stream = streamsOf(token, i);
      // What only one vector is made of needs no name.
      const x = widths.length === 1 && widths[0] !== 1 ? stream : e.bind(stream);
      const inWidth = new Map(widths.map((lanes) => [lanes, lanes === 1 ? x : e.bind(k.splat(x, lanes))]));
      for (const [c, sum] of mustAt(sums, i).entries())
        e.push(k.assign(k.nameOf(sum), k.fma(mustGet(inWidth, sum.type.lanes), mustAt(weights, c), sum)));
    }
  });
}

/**
 * The token's operand at a term of the sum, for each token of a block. Tokens that are evenly spaced have one address
 * for the block, and the rest are immediate offsets.
 */
function readerOf(
  { bench: { emitter: e }, axes }: Products,
  walk: TileWalk,
  rows: readonly [Token, ...Token[]],
  { streams, streamLetters, summed: summedLetters }: WeightedProduct,
  summed: readonly Coord[],
): (token: Token, i: number) => Expr {
  const tokens = axes(streams);
  const at = (token: Token): Coord[] =>
    [...streamLetters].map((letter, axis) => {
      const part = tokens.indexOf(axis);
      return part >= 0 ? mustAt(token.parts, part) : mustAt(summed, summedLetters.indexOf(letter));
    });
  const place = clamps(walk, rows.length) ? null : e.locate(streams, at(rows[0]));
  const step = place && walk.step(place.base);
  return place && step !== null
    ? (_, i) => k.load(place.buffer, k.add(place.at, k.idx(i * step)), k.F32)
    : (token) => e.emit(streams, at(token));
}
