/**
 * Emits the value of a graph node at given coordinates, as kernel IR. Emission is driven by demand: a skeleton opens
 * its loops and asks for its roots; whatever the roots need is computed in place or loaded. Every expression is bound
 * in the outermost scope where its coordinates exist and is remembered there, so loop-invariant values (addresses, the
 * maximum of a softmax, a gate per token) leave the inner loops by themselves: a reduction asked for inside a loop over
 * columns becomes a loop of its own in the scope of its row.
 *
 * A coordinate may step by lane: in vector mode lane l stands for `at + l * lane`. What cannot be vectorised (a gather
 * by lane, a reshape that breaks the run) is computed lane by lane and packed.
 *
 * Scopes and names are those of `writer.ts`; elementwise ops are in `elementwise.ts`, and loops of reductions in
 * `reductions.ts`.
 */
import type { Node, NodeWith, ReductionNode } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr, Lanes } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import { letters } from "../../graph/ops/structure.js";
import { rowMajor } from "../fusion/views.js";
import {
  constant,
  eachLane,
  inAll,
  keyOf,
  laneOf,
  like,
  lookUp,
  reachOf,
  still,
  valueId,
  widen,
  widthOf,
  type Coord,
} from "./coords.js";
import { affine } from "./affine.js";
import { elementwise } from "./elementwise.js";
import { reduceAll, walks, type Cooperation, type Loops, type KernelReduction } from "./reductions.js";
import { reshapeCoords } from "./reshape.js";
import { Writer } from "./writer.js";

export { constant, like, widen, type Coord };

/** The word of an element: the sum of coordinate * stride. */
export interface ElementPlace {
  readonly coords: readonly Coord[];
  readonly strides: readonly number[];
}

/** What a skeleton decides about how values are emitted. */
export interface EmitterOptions {
  /** Lanes of the device's widest vectors. */
  readonly lanes: Lanes;
  /** The buffer of a tensor in memory, or null when the node is computed in this kernel. */
  readonly bufferOf: (node: Node) => string | null;
  /** Where in its buffer an element of a node lies, when not in row-major order of the node's shape. */
  readonly placed?: (node: Node, coords: readonly Coord[]) => ElementPlace | null;
  readonly cooperation?: Cooperation;
  /** Terms of a sum that is spelt out, at most; eight, if nothing is said. */
  readonly spelt?: number;
  /** Whether what lies beside a constant coordinate is loaded with it, four words at once. */
  readonly wideLoads?: boolean;
}

/** A node whose value is a walk over others. */
export type Reducing = ReductionNode | NodeWith<"contract">;

/** A reduction at coordinates of its result. */
export interface ReductionAt {
  readonly node: Reducing;
  readonly coords: readonly Coord[];
}

/** The word at which an element of a stored tensor lies. */
export interface StoredWord {
  readonly base: Node;
  readonly buffer: string;
  readonly at: Expr;
}

/** What a reduction at coordinates combines, and over which extent. */
interface ReductionWalk {
  readonly sizes: readonly number[];
  readonly reduction: KernelReduction;
}

/** Writes a kernel out of the values of graph nodes. */
export class Emitter extends Writer implements Loops {
  readonly lanes: Lanes;
  readonly spelt: number;
  readonly cooperation: Cooperation | undefined;

  constructor(private readonly options: EmitterOptions) {
    super();
    this.lanes = options.lanes;
    this.spelt = options.spelt ?? 8;
    this.cooperation = options.cooperation;
  }

  /**
   * The value of a node at coordinates, of as many lanes as a coordinate steps by. Throws an Error for as many
   * coordinates as the node has no axes, and for an op that has no value of its own in a kernel (composites).
   */
  emit(node: Node, coords: readonly Coord[]): Expr {
    if (coords.length !== node.shape.length)
      throw new Error(`schedule: ${node.op} has rank ${node.shape.length}, asked at ${coords.length}`);
    const reached = reachOf(coords);
    return this.remember(reached, valueId(node, coords), () => {
      const remembered = lookUp(this.memoAt(reached), node, coords) ?? this.withNeighbours(node, coords);
      if (remembered) return remembered;
      const buffer = this.options.bufferOf(node);
      const value = buffer === null ? this.compute(node, coords, reached) : this.load(buffer, node, coords);
      return this.bind(value, reached);
    });
  }

  /**
   * Reductions that will be asked for in this scope: those of one extent share a walk, and their values are remembered.
   */
  together(reductions: readonly ReductionAt[]): void {
    const memo = this.memoAt(this.depth());
    /** By op and extent: the sizes, and reductions by the key of their value. */
    const groups = new Map<
      string,
      { readonly sizes: readonly number[]; readonly members: Map<string, KernelReduction> }
    >();
    for (const { node, coords } of reductions) {
      const id = valueId(node, coords);
      if (memo.has(id)) continue;
      const { sizes, reduction } = this.reductionOf(node, coords);
      const extent = `${reduction.op} ${sizes.join()}`;
      const group = groups.get(extent) ?? { sizes, members: new Map<string, KernelReduction>() };
      groups.set(extent, group);
      group.members.set(id, reduction);
    }
    for (const { sizes, members } of groups.values()) {
      for (const walk of walks([...members], ([, reduction]) => reduction, this)) {
        const values = reduceAll(
          this,
          sizes,
          walk.map(([, reduction]) => reduction),
        );
        for (const [j, [id]] of walk.entries()) memo.set(id, this.bind(mustAt(values, j)));
      }
    }
  }

  /** Fixes the value of an anchor at coordinates: its accumulators. */
  define(node: Node, coords: readonly Coord[], value: Expr): void {
    this.memoAt(reachOf(coords)).set(valueId(node, coords), value);
  }

  /** Stores `value` of `node` at coordinates into `buffer`: as many words as a coordinate steps by. */
  store(buffer: string, node: Node, coords: readonly Coord[], value: Expr): void {
    const { at, lane, width } = this.addressOf(node, coords);
    if (lane === 0) this.push(k.store(buffer, at, value));
    else if (lane === 1) this.push(k.store(buffer, at, inAll(value, width)));
    else {
      for (let l = 0; l < width; l++) {
        this.push(k.store(buffer, k.add(at, k.idx(l * lane)), value.type.lanes === 1 ? value : k.extract(value, l)));
      }
    }
  }

  /** The word at which a node behind views stands in memory; null when it is computed. */
  locate(node: Node, coords: readonly Coord[]): StoredWord | null {
    const buffer = this.options.bufferOf(node);
    if (buffer !== null) return { base: node, buffer, at: this.addressOf(node, coords).at };
    if (node.op === "broadcast") return this.locate(node.inputs[0], behindBroadcast(node, coords));
    const inner = node.op === "reshape" ? reshapeCoords(this, node, coords) : null;
    return inner && this.locate(node.inputs[0], inner);
  }

  private addressOf(node: Node, coords: readonly Coord[]): Coord {
    const place = this.options.placed?.(node, coords) ?? { coords, strides: rowMajor(node.shape) };
    return this.address(place.coords, place.strides);
  }

  private load(buffer: string, node: Node, coords: readonly Coord[]): Expr {
    const of = node.dtype === "u32" ? "u32" : "f32";
    const { at, lane, width } = this.addressOf(node, coords);
    if (lane === 0) return k.load(buffer, at, { of, lanes: 1 });
    if (lane === 1) return k.load(buffer, at, { of, lanes: width });
    return eachLane(width, (l) => k.load(buffer, k.add(at, k.idx(l * lane)), { of, lanes: 1 }));
  }

  /** A word that is loaded with its neighbours. */
  private withNeighbours(node: Node, coords: readonly Coord[]): Expr | null {
    const place = laneOf(coords, 4);
    const isWide =
      this.options.wideLoads === true &&
      place &&
      mustAt(node.shape, node.shape.length - 1) % 4 === 0 &&
      coords.every((c) => c.lane === 0) &&
      this.options.bufferOf(node) !== null;
    return isWide ? k.extract(this.emit(node, place.vector), place.lane) : null;
  }

  private compute(node: Node, coords: readonly Coord[], reached: number): Expr {
    switch (node.op) {
      case "iota": {
        const c = mustAt(coords, node.attrs.axis);
        const at = k.cast(c.at, k.U32);
        if (c.lane === 0) return at;
        return k.add(
          k.splat(at, c.width),
          eachLane(c.width, (l) => k.u32(l * c.lane)),
        );
      }
      case "broadcast":
        return this.emit(node.inputs[0], behindBroadcast(node, coords));
      case "reshape": {
        const inner = reshapeCoords(this, node, coords);
        return inner ? this.emit(node.inputs[0], inner) : this.byLane(node, coords);
      }
      case "affine":
        return affine(this, node, coords, (input, at) => this.emit(input, at)) ?? this.byLane(node, coords);
      case "slice":
        return this.emit(node.inputs[0], [this.behindSlice(node, coords)]);
      case "gather":
        return this.gather(node, coords);
      case "sum":
      case "reduce_max":
      case "reduce_prod":
      case "contract": {
        const { sizes, reduction } = this.reductionOf(node, coords);
        return this.within(reached, () => mustAt(reduceAll(this, sizes, [reduction]), 0));
      }
      default: {
        const value = elementwise(
          node,
          (input) => this.emit(input, coords),
          (intermediate) => this.bind(intermediate, reached),
        );
        if (!value) throw new Error(`schedule: no lowering for ${node.op} at this place`);
        return value;
      }
    }
  }

  /** Computes each lane by itself. */
  private byLane(node: Node, coords: readonly Coord[]): Expr {
    return eachLane(widthOf(coords), (l) => this.emit(node, this.inLane(coords, l)));
  }

  /** The place in the vector that a slice is cut from. */
  private behindSlice(node: NodeWith<"slice">, coords: readonly Coord[]): Coord {
    const flat = this.address(coords, rowMajor(node.shape));
    const { at, depth } = flat;
    const { offset } = node.attrs;
    if (at.kind === "const") return { ...flat, at: k.idx(at.value + offset) };
    if (offset === 0) return flat;
    const moved = this.remember(depth, `slice|${keyOf(still(flat))}|${offset}`, () =>
      this.bind(k.add(at, k.idx(offset)), depth, "i"),
    );
    return { ...flat, at: moved };
  }

  private gather(node: NodeWith<"gather">, coords: readonly Coord[]): Expr {
    const [table, index] = node.inputs;
    const rank = index.shape.length;
    const indexCoords = coords.slice(0, rank);
    if (indexCoords.some((c) => c.lane !== 0)) return this.byLane(node, coords);
    const row = this.emit(index, indexCoords);
    const depth = reachOf(indexCoords);
    const at = this.remember(depth, `row|${index.id}|${indexCoords.map(keyOf).join(",")}`, () =>
      this.bind(k.cast(row, k.INDEX), depth, "i"),
    );
    return this.emit(table, [{ at, lane: 0, width: 1, depth }, ...coords.slice(rank)]);
  }

  /** A sum, a maximum, or a product of two tensors, at one element: what is combined over which extent. */
  private reductionOf(node: Reducing, coords: readonly Coord[]): ReductionWalk {
    const lanes = widthOf(coords);
    if (node.op !== "contract") {
      const input = node.inputs[0];
      return {
        sizes: node.attrs.axes.map((axis) => mustAt(input.shape, axis)),
        reduction: { op: node.op, lanes, item: (reduced) => this.emit(input, mergeCoords(node, coords, reduced)) },
      };
    }
    const spec = letters(node.attrs.spec);
    const summed = [...spec.a].filter((letter) => !spec.out.includes(letter));
    const at = (term: string, reduced: readonly Coord[]): Coord[] =>
      [...term].map((letter) =>
        spec.out.includes(letter) ? mustAt(coords, spec.out.indexOf(letter)) : mustAt(reduced, summed.indexOf(letter)),
      );
    const [x, y] = node.inputs;
    const item = (reduced: readonly Coord[]): Expr => {
      const [left, right] = widen([this.emit(x, at(spec.a, reduced)), this.emit(y, at(spec.b, reduced))]);
      return k.mul(left, right);
    };
    return {
      sizes: summed.map((letter) => mustAt(x.shape, spec.a.indexOf(letter))),
      reduction: { op: "sum", lanes, item },
    };
  }
}

/** The coordinates of a broadcast's input. */
const behindBroadcast = (node: NodeWith<"broadcast">, coords: readonly Coord[]): Coord[] =>
  node.attrs.axes.map((axis, i) => (node.inputs[0].shape[i] === 1 ? constant(0) : mustAt(coords, axis)));

/** The coordinates of a reduction's input: the kept ones, and those of the loop. */
function mergeCoords(node: ReductionNode, kept: readonly Coord[], reduced: readonly Coord[]): Coord[] {
  let i = 0;
  let j = 0;
  return node.inputs[0].shape.map((_, axis) =>
    node.attrs.axes.includes(axis) ? mustAt(reduced, j++) : mustAt(kept, i++),
  );
}
