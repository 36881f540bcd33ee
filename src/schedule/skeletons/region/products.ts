/**
 * Products with weights, inside a region: blocks of four tokens by two vectors of columns. The weights are packed once
 * a group, block of columns by block of columns in the order of the sum, so that a tile reads them in one run and no
 * column is strided. Few columns (gates) are spelt out and may come from several products of one operand; many (the
 * gradient of the streams) are a loop.
 */
import type { Node, NodeWith } from "../../../graph/node.js";
import { letters } from "../../../graph/ops/structure.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { constant, type Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { storeRoots } from "../rows.js";
import { SPELT_OUT, type ChainStage, type ProductStage } from "./stages.js";
import { startOf } from "./chains.js";
import { transpose } from "../transpose.js";
import { clamps, neighbours, type Token, type Walk } from "./tiles.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";

const ROWS = 4;
/** Vectors of columns in a register block. */
const VECTORS = 2;
/** Columns of such a block. */
const BLOCK = 4 * VECTORS;
/** As many terms of a sum are spelt out. */
const FEW_TERMS = 16;

interface Reading {
  readonly cluster: Cluster;
  readonly node: NodeWith<"contract">;
  readonly weights: Node;
  readonly streams: Node;
  /** Letters of the weights that the result keeps, and those that are summed, in the order of the weights. */
  readonly columns: string;
  readonly summed: string;
  readonly term: string;
  readonly other: string;
  readonly out: string;
}

function readStage(cluster: Cluster, operand: 0 | 1): Reading {
  const node = cluster.anchor as NodeWith<"contract">;
  const l = letters(node.attrs.spec)!;
  const [term, other] = operand === 0 ? [l.a, l.b] : [l.b, l.a];
  return {
    cluster,
    node,
    term,
    other,
    out: l.out,
    weights: node.inputs[operand]!,
    streams: node.inputs[1 - operand]!,
    columns: [...term].filter((letter) => l.out.includes(letter)).join(""),
    summed: [...other].filter((letter) => !l.out.includes(letter)).join(""),
  };
}

/** One vector of columns, or a single one. */
interface Column {
  readonly of: Reading;
  readonly at: readonly Coord[];
  readonly lanes: 1 | 4;
}

interface Packed {
  readonly stage: ProductStage;
  readonly panel: string;
  readonly blocks: readonly (readonly Column[])[] | null;
}

export type Products = ReturnType<typeof createProducts>;

export function createProducts(bench: Workbench, axes: (node: Node) => readonly number[]) {
  const { emitter: e, profile } = bench;
  const packed = new Map<ProductStage, Packed>();
  const widthOf = (block: readonly Column[]): number => block.reduce((sum, { lanes }) => sum + lanes, 0);
  const sizeIn = (r: Reading, letter: string): number => r.weights.shape[r.term.indexOf(letter)]!;
  const terms = (r: Reading): number[] => [...r.summed].map((letter) => sizeIn(r, letter));
  const columnSizes = (r: Reading): number[] => [...r.columns].map((letter) => sizeIn(r, letter));
  const weightAt = (r: Reading, columns: readonly Coord[], summed: readonly Coord[]): Expr =>
    e.emit(
      r.weights,
      [...r.term].map((letter) =>
        r.columns.includes(letter) ? columns[r.columns.indexOf(letter)]! : summed[r.summed.indexOf(letter)]!,
      ),
    );

  /** The columns of a product as vectors where four of the last axis remain, else one by one. */
  function spellOut(r: Reading): Column[] {
    const sizes = columnSizes(r);
    const last = sizes[sizes.length - 1] ?? 1;
    const outer = sizeOf(sizes) / last;
    return Array.from({ length: outer }, (_, o) => {
      const strides = rowMajor(sizes.slice(0, -1));
      const at = strides.map((stride, i) => constant(Math.floor(o / stride) % sizes[i]!));
      const found: Column[] = [];
      for (let c = 0; c < last;) {
        const width = profile.lanes === 4 && last - c >= 4 ? 4 : 1;
        found.push({
          of: r,
          at: sizes.length ? [...at, { ...constant(c), lane: width === 4 ? 1 : 0 }] : [],
          lanes: width,
        });
        c += width;
      }
      return found;
    }).flat();
  }

  function pack(stage: ProductStage): void {
    const readings = stage.clusters.map((cluster) => readStage(cluster, stage.operand));
    const [first] = readings as [Reading];
    const k0 = sizeOf(terms(first));
    const total = stage.columns;
    const panel = e.fresh("panel");
    e.push(k.arrayS(panel, "f32", k0 * total));
    if (total > SPELT_OUT) {
      packed.set(stage, { stage, panel, blocks: null });
      return isBlocked(first) ? packBlocks(first, panel) : packRows(first, panel);
    }
    const units = readings.flatMap(spellOut);
    const most = profile.lanes === 4 ? VECTORS : 4;
    const blocks = Array.from({ length: Math.ceil(units.length / most) }, (_, i) =>
      units.slice(i * most, (i + 1) * most),
    );
    packed.set(stage, { stage, panel, blocks });
    let start = 0;
    for (const block of blocks) {
      const width = widthOf(block);
      const from = start;
      e.nest(terms(first), (summed) => {
        const row = e.address(
          summed,
          rowMajor(terms(first)).map((stride) => stride * width),
        ).at;
        let offset = from;
        for (const { of: r, at, lanes } of block) {
          const value = weightAt(r, at, summed);
          e.push(k.store(panel, k.add(row, k.idx(offset)), value.type.lanes === lanes ? value : k.splat(value)));
          offset += lanes;
        }
      });
      start += width * k0;
    }
  }

  /**
   * Whether the columns of a product that has many lie in blocks of those that are in registers together, one after the
   * other.
   */
  const isBlocked = (r: Reading): boolean => profile.lanes === 4 && columnSizes(r)[r.columns.length - 1]! % BLOCK === 0;

  /** Many columns of one product: the panel has them in rows, one for each term of the sum. */
  function packRows(r: Reading, panel: string): void {
    const sizes = [...columnSizes(r), ...terms(r)];
    const strides = [
      ...rowMajor(columnSizes(r)),
      ...rowMajor(terms(r)).map((stride) => stride * sizeOf(columnSizes(r))),
    ];
    e.nest(sizes, (all) =>
      e.push(
        k.store(
          panel,
          e.address(all, strides).at,
          weightAt(r, all.slice(0, r.columns.length), all.slice(r.columns.length)),
        ),
      ),
    );
  }

  /** Blocks of columns, each with all terms. Where the weights run along the terms, four by four are turned. */
  function packBlocks(r: Reading, panel: string): void {
    const sizes = columnSizes(r);
    const along = terms(r);
    const turned = r.term.endsWith(r.summed[r.summed.length - 1]!) && along[along.length - 1]! % 4 === 0;
    e.nest(sizes.slice(0, -1), (outer) =>
      e.loop(k.idx(0), k.idx(sizes[sizes.length - 1]!), BLOCK, (first) => {
        const columns = Array.from({ length: BLOCK }, (_, c): Coord[] => [
          ...outer,
          c === 0 ? first : e.coord(k.add(first.at, k.idx(c))),
        ]);
        const block = e.address(
          columns[0]!,
          rowMajor(sizes).map((stride) => stride * sizeOf(along)),
        ).at;
        const place = (summed: readonly Coord[]): Expr =>
          k.add(
            block,
            e.address(
              summed,
              rowMajor(along).map((stride) => stride * BLOCK),
            ).at,
          );
        if (!turned) {
          return e.nest(along, (summed) =>
            columns.forEach((column, c) =>
              e.push(k.store(panel, k.add(place(summed), k.idx(c)), weightAt(r, column, summed))),
            ),
          );
        }
        e.nest(along.slice(0, -1), (before) =>
          e.loop(k.idx(0), k.idx(along[along.length - 1]!), 4, (term) => {
            const to = place([...before, term]);
            for (let c = 0; c < BLOCK; c += 4) {
              const rows = [0, 1, 2, 3].map((l) => weightAt(r, columns[c + l]!, [...before, { ...term, lane: 1 }]));
              transpose(rows, (x) => e.bind(x)).forEach((row, l) =>
                e.push(k.store(panel, k.add(to, k.idx(l * BLOCK + c)), row)),
              );
            }
          }),
        );
      }),
    );
  }

  /** Where the terms of a product with many columns stand in its panel, and where those of some columns begin. */
  function panelOf(r: Reading): {
    readonly strides: readonly number[];
    readonly begin: (columns: readonly Coord[]) => Expr;
  } {
    const sizes = columnSizes(r);
    const blocked = isBlocked(r);
    const strides = rowMajor(sizes).map((stride) => stride * (blocked ? sizeOf(terms(r)) : 1));
    return {
      strides: rowMajor(terms(r)).map((stride) => stride * (blocked ? BLOCK : sizeOf(sizes))),
      begin: (columns) =>
        e.address(
          columns.map((coord) => ({ ...coord, lane: 0 })),
          strides,
        ).at,
    };
  }

  function run(stage: ProductStage, walk: Walk): void {
    const found = packed.get(stage)!;
    const height = heightOf(walk);
    const readings = stage.clusters.map((cluster) => readStage(cluster, stage.operand));
    const [first] = readings as [Reading];
    if (found.blocks) {
      let start = 0;
      for (const block of found.blocks) {
        const width = widthOf(block);
        const from = start;
        e.loop(k.idx(0), walk.count, height, (local) => {
          const rows = neighbours(bench, walk, local, height);
          registers(
            walk,
            rows,
            block,
            found.panel,
            rowMajor(terms(first)).map((stride) => stride * width),
            (c) => k.idx(from + widthOf(block.slice(0, c))),
          );
        });
        start += width * sizeOf(terms(first));
      }
      return;
    }
    const { strides, begin } = panelOf(first);
    eachBlock(walk, first, (rows, block) => registers(walk, rows, block, found.panel, strides, offsetIn(block, begin)));
  }

  /** The vectors of a block stand side by side, in rows and in blocks. */
  const offsetIn =
    (block: readonly Column[], begin: (columns: readonly Coord[]) => Expr) =>
    (c: number): Expr =>
      k.add(begin(block[0]!.at), k.idx(block.slice(0, c).reduce((sum, { lanes }) => sum + lanes, 0)));

  /** Blocks of some tokens by some columns of a product that has many. */
  function eachBlock(walk: Walk, r: Reading, body: (rows: readonly Token[], block: readonly Column[]) => void): void {
    const height = heightOf(walk);
    const sizes = columnSizes(r);
    const last = sizes[sizes.length - 1]!;
    e.loop(k.idx(0), walk.count, height, (local) => {
      const rows = neighbours(bench, walk, local, height);
      e.nest(sizes.slice(0, -1), (outer) => {
        const columns = (from: Coord, lanes: 1 | 4, vectors: number): void => {
          const block = Array.from({ length: vectors }, (_, v): Column => {
            const at = v === 0 ? from : e.coord(k.add(from.at, k.idx(v * lanes)));
            return { of: r, at: [...outer, lanes === 4 ? { ...at, lane: 1 } : at], lanes };
          });
          body(rows, block);
        };
        const wide = profile.lanes === 4;
        const step = wide ? 4 * VECTORS : 4;
        const main = last - (last % step);
        if (main > 0) e.loop(k.idx(0), k.idx(main), step, (c) => columns(c, wide ? 4 : 1, wide ? VECTORS : 4));
        if (wide && last - main >= 4) columns(constant(main), 4, 1);
        const rest = wide ? last - (last % 4) : main;
        if (rest < last) e.loop(k.idx(rest), k.idx(last), 1, (c) => columns(c, 1, 1));
      });
    });
  }

  /**
   * Products whose results add up: the registers of one start from what it adds, those of the next go on, and what
   * reads the last result takes it from them.
   */
  function chain({ products, after }: ChainStage, walk: Walk): void {
    const readings = products.map(({ clusters, operand }) => readStage(clusters[0]!, operand));
    const [first] = readings as [Reading];
    const [head] = products as [ProductStage];
    const start = startOf(head.clusters[0]!)!.start;
    const root = readings[readings.length - 1]!.cluster.roots[0]!;
    eachBlock(walk, first, (rows, block) => {
      const at = rows.map((token) => block.map(({ at: columns }) => resultAt(first, token, columns)));
      const names = rows.map((_, i) =>
        block.map(({ lanes }, c) => accumulator(lanes, start && e.emit(start, at[i]![c]!))),
      );
      readings.forEach((r, link) => {
        // The columns of a link are those of the first.
        const own = block.map(({ lanes, at: columns }): Column => ({ of: r, lanes, at: columns }));
        const { strides, begin } = panelOf(r);
        const offset = offsetIn(own, begin);
        sumTerms(
          walk,
          rows,
          own,
          packed.get(products[link]!)!.panel,
          strides,
          own.map((_, c) => e.bind(offset(c))),
          names,
        );
      });
      const stored = after?.roots ?? [root];
      block.forEach(({ lanes }, c) =>
        rows.forEach((_, i) => {
          e.define(root, at[i]![c]!, k.ref(names[i]![c]!, { of: "f32", lanes }));
          storeRoots(bench, stored, at[i]![c]!);
        }),
      );
    });
  }

  const accumulator = (lanes: 1 | 4, start: Expr | null): string => {
    const name = e.fresh("acc");
    const zero = k.f32(0);
    e.push(k.varS(name, lanes === 1 ? (start ?? zero) : start?.type.lanes === 4 ? start : k.splat(start ?? zero)));
    return name;
  };

  /** The coordinates of a result. */
  const resultAt = (r: Reading, token: Token, columns: readonly Coord[]): Coord[] => {
    const tokens = axes(r.node);
    return [...r.out].map((letter, axis) => {
      const part = tokens.indexOf(axis);
      return part >= 0 ? token.parts[part]! : columns[r.columns.indexOf(letter)]!;
    });
  };

  const heightOf = (walk: Walk): number =>
    walk.whole && walk.count.kind === "const" ? Math.min(ROWS, walk.count.value) : ROWS;

  /** All positions along the sum: spelt out when they are few. */
  function walkTerms(sizes: readonly number[], body: (summed: readonly Coord[]) => void): void {
    if (sizeOf(sizes) > FEW_TERMS) return e.nest(sizes, body);
    const strides = rowMajor(sizes);
    for (let flat = 0; flat < sizeOf(sizes); flat++)
      body(strides.map((stride, i) => constant(Math.floor(flat / stride) % sizes[i]!)));
  }

  /** Some tokens times some columns, in registers: the sum, and what becomes of it. */
  function registers(
    walk: Walk,
    rows: readonly Token[],
    block: readonly Column[],
    panel: string,
    strides: readonly number[],
    offset: (c: number) => Expr,
  ): void {
    const offsets = block.map((_, c) => e.bind(offset(c)));
    const names = rows.map(() => block.map(({ lanes }) => accumulator(lanes, null)));
    sumTerms(walk, rows, block, panel, strides, offsets, names);
    block.forEach(({ of: own, at, lanes }, c) => {
      rows.forEach((token, i) => {
        const coords = resultAt(own, token, at);
        e.define(own.node, coords, k.ref(names[i]![c]!, { of: "f32", lanes }));
        storeRoots(bench, own.cluster.roots, coords);
      });
    });
  }

  /** Adds to every accumulator its sum over the terms of a product. */
  function sumTerms(
    walk: Walk,
    rows: readonly Token[],
    block: readonly Column[],
    panel: string,
    strides: readonly number[],
    offsets: readonly Expr[],
    names: readonly (readonly string[])[],
  ): void {
    const [{ of: r }] = block as [Column];
    const own = axes(r.streams);
    const vector = block.some(({ lanes }) => lanes === 4);
    const scalar = block.some(({ lanes }) => lanes === 1);
    walkTerms(terms(r), (summed) => {
      const row = e.address(summed, strides).at;
      const columns = block.map(({ lanes }, c) => e.bind(k.load(panel, k.add(row, offsets[c]!), { of: "f32", lanes })));
      const at = (token: Token): Coord[] =>
        [...r.other].map((letter, axis) => {
          const part = own.indexOf(axis);
          return part >= 0 ? token.parts[part]! : summed[r.summed.indexOf(letter)]!;
        });
      const place = clamps(walk, rows.length) ? null : e.locate(r.streams, at(rows[0]!));
      const step = place && walk.step(place.base);
      rows.forEach((token, i) => {
        // Evenly spaced tokens: one address for the block, and the rest are immediate offsets.
        const one =
          place && step !== null
            ? k.load(place.buffer, k.add(place.at, k.idx(i * step)), k.F32)
            : e.emit(r.streams, at(token));
        const x = scalar ? e.bind(one) : one;
        const wide = vector ? e.bind(k.splat(x)) : x;
        block.forEach(({ lanes }, c) => {
          const type = { of: "f32", lanes } as const;
          e.push(k.assign(names[i]![c]!, k.fma(lanes === 4 ? wide : x, columns[c]!, k.ref(names[i]![c]!, type))));
        });
      });
    });
  }

  return { pack, run, chain };
}
