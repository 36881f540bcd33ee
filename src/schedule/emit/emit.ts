/**
 * Emits the value of a graph node at given coordinates, as kernel IR. Emission is driven by demand: a skeleton opens
 * its loops and asks for its roots; whatever the roots need is computed in place or loaded. Every expression is bound
 * in the outermost scope where its coordinates exist and is remembered there, so loop-invariant values (addresses, the
 * maximum of a softmax, a gate per token) leave the inner loops by themselves: a reduction asked for inside a loop over
 * columns becomes a loop of its own in the scope of its row.
 *
 * A coordinate may step by lane: in vector mode lane l stands for `at + l * lane`. What cannot be vectorised (a gather
 * by lane, a reshape that breaks the run) is computed lane by lane and packed.
 */
import type { Node, NodeWith } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr, Stmt } from "../../kernel/ir.js";
import { constant, key, laneOf, like, lookUp, valueId, widen, type Coord } from "./coords.js";
import { random } from "./random.js";
import { reduceAll, walks, type Cooperation, type Loops, type Reduction } from "./reductions.js";
import { letters } from "../../graph/ops/structure.js";
import { rowMajor } from "../fusion/views.js";

export { constant, like, widen, type Coord };

interface Scope {
  readonly stmts: Stmt[];
  readonly memo: Map<string, Expr>;
}

/** The word of an element: the sum of coordinate * stride. */
export interface Placed {
  readonly coords: readonly Coord[];
  readonly strides: readonly number[];
}

export interface EmitterOptions {
  readonly lanes: 1 | 4;
  /** The buffer of a tensor in memory, or null when the node is computed in this kernel. */
  readonly bufferOf: (node: Node) => string | null;
  /** Where in its buffer an element of a node lies, when not in row-major order of the node's shape. */
  readonly placed?: (node: Node, coords: readonly Coord[]) => Placed | null;
  readonly cooperation?: Cooperation;
  /** Terms of a sum that is spelt out, at most; eight, if nothing is said. */
  readonly spelt?: number;
  /** Whether what lies beside a constant coordinate is loaded with it, four words at once. */
  readonly wideLoads?: boolean;
}

/** A node whose value is a walk over others. */
export type Reducing = NodeWith<"sum"> | NodeWith<"reduce_max"> | NodeWith<"contract">;

/** A reduction at coordinates of its result. */
export interface Wanted {
  readonly node: Reducing;
  readonly coords: readonly Coord[];
}

export type Emitter = ReturnType<typeof createEmitter>;

function fail(what: string): never {
  throw new Error(`schedule: ${what}`);
}

export function createEmitter(options: EmitterOptions) {
  const scopes: Scope[] = [{ stmts: [], memo: new Map() }];
  let names = 0;
  const fresh = (stem: string): string => `${stem}${names++}`;
  const depth = (): number => scopes.length - 1;
  const push = (stmt: Stmt): void => void scopes[depth()]!.stmts.push(stmt);

  /** Names an expression in scope `at`, unless it is a constant or a name already. */
  function bind(value: Expr, at = depth(), stem = "v"): Expr {
    if (value.kind === "const" || value.kind === "ref") return value;
    const name = fresh(stem);
    scopes[at]!.stmts.push(k.letS(name, value));
    return k.ref(name, value.type);
  }

  function remember(at: number, id: string, make: () => Expr): Expr {
    const memo = scopes[at]!.memo;
    const known = memo.get(id);
    if (known) return known;
    const made = make();
    memo.set(id, made);
    return made;
  }

  /** Runs `body` in a new scope and returns its statements. */
  function scoped(body: () => void): Stmt[] {
    scopes.push({ stmts: [], memo: new Map() });
    body();
    return scopes.pop()!.stmts;
  }

  /** Runs `body` as if only the scopes down to `at` were open. */
  function within<T>(at: number, body: () => T): T {
    const inner = scopes.splice(at + 1);
    const result = body();
    scopes.push(...inner);
    return result;
  }

  function loop(from: Expr, to: Expr, step: number, body: (coord: Coord) => void): void {
    const name = fresh("i");
    const stmts = scoped(() => body({ at: k.ref(name, k.INDEX), lane: 0, depth: depth() }));
    push(k.forS(name, from, to, step, stmts));
  }

  function guard(condition: Expr, body: () => void): void {
    const stmts = scoped(body);
    push(k.ifS(condition, stmts));
  }

  /** Memory of the workgroup, by name, in words. */
  const shared = new Map<string, number>();
  const loops: Loops = {
    lanes: options.lanes,
    spelt: options.spelt ?? 8,
    cooperation: options.cooperation,
    depth,
    fresh,
    push,
    loop,
    guard,
    nest,
    split,
    bind: (value) => bind(value),
    coord: (at) => coord(at),
    shared: (name, words) => void shared.set(name, Math.max(words, shared.get(name) ?? 0)),
  };

  /** A new coordinate for an index expression, bound in the current scope. */
  const coord = (at: Expr, lane = 0): Coord => ({ at: bind(at), lane, depth: at.kind === "const" ? 0 : depth() });

  /** Sum of coordinate * stride, each part bound in the scope of its coordinates; and the step from lane to lane. */
  function address(coords: readonly Coord[], strides: readonly number[]): { at: Expr; lane: number; depth: number } {
    const terms = coords
      .map((c, i) => ({ c, stride: strides[i]! }))
      .filter(({ c, stride }) => stride !== 0 && !(c.at.kind === "const" && c.at.value === 0));
    terms.sort((a, b) => a.c.depth - b.c.depth);
    const lane = coords.reduce((sum, c, i) => sum + c.lane * strides[i]!, 0);
    let at: Expr = k.idx(0);
    let id = "address";
    let reached = 0;
    terms.forEach(({ c, stride }, i) => {
      at = k.add(at, k.mul(c.at, k.idx(stride)));
      id += `|${key({ ...c, lane: 0 })}*${stride}`;
      reached = c.depth;
      if (i + 1 < terms.length && terms[i + 1]!.c.depth === c.depth) return;
      const value = at;
      at = remember(c.depth, id, () => bind(value, c.depth, "a"));
    });
    return { at, lane, depth: reached };
  }

  const placed = (node: Node, coords: readonly Coord[]): Placed =>
    options.placed?.(node, coords) ?? { coords, strides: rowMajor(node.shape) };

  function load(buffer: string, { coords, strides }: Placed, of: "f32" | "u32"): Expr {
    const { at, lane } = address(coords, strides);
    if (lane === 0) return k.load(buffer, at, { of, lanes: 1 });
    if (lane === 1) return k.load(buffer, at, { of, lanes: 4 });
    const one = (l: number): Expr => k.load(buffer, k.add(at, k.idx(l * lane)), { of, lanes: 1 });
    return k.lanes([one(0), one(1), one(2), one(3)]);
  }

  /** The word at which a node behind views stands in memory; null when it is computed. */
  function locate(
    node: Node,
    coords: readonly Coord[],
  ): { readonly base: Node; readonly buffer: string; readonly at: Expr } | null {
    const buffer = options.bufferOf(node);
    if (buffer !== null) {
      const place = placed(node, coords);
      return { base: node, buffer, at: address(place.coords, place.strides).at };
    }
    if (node.op === "broadcast") return locate(node.inputs[0]!, behindBroadcast(node, coords));
    const inner = node.op === "reshape" ? reshapeCoords(node, coords) : null;
    return inner && locate(node.inputs[0]!, inner);
  }

  const behindBroadcast = (node: NodeWith<"broadcast">, coords: readonly Coord[]): Coord[] =>
    node.attrs.axes.map((axis, i) => (node.inputs[0]!.shape[i] === 1 ? constant(0) : coords[axis]!));

  const inLane = (coords: readonly Coord[], l: number): Coord[] =>
    coords.map((c) =>
      c.lane === 0
        ? c
        : within(c.depth, () => {
            const at = remember(c.depth, `lane|${key({ ...c, lane: 0 })}|${l * c.lane}`, () =>
              bind(k.add(c.at, k.idx(l * c.lane)), c.depth, "i"),
            );
            return { at, lane: 0, depth: c.depth };
          }),
    );

  /** Computes each lane by itself. */
  const byLane = (node: Node, coords: readonly Coord[]): Expr =>
    k.lanes([0, 1, 2, 3].map((l) => emit(node, inLane(coords, l))) as [Expr, Expr, Expr, Expr]);

  function reshapeCoords(node: NodeWith<"reshape">, coords: readonly Coord[]): Coord[] | null {
    const from = node.shape;
    const to = node.inputs[0]!.shape;
    const result = new Array<Coord>(to.length).fill(constant(0));
    let i = 0;
    for (let j = 0; j < to.length;) {
      let inner = to[j]!;
      let outer = from[i] ?? 1;
      let endJ = j + 1;
      let endI = Math.min(i + 1, from.length);
      while (inner !== outer) {
        if (inner < outer) inner *= to[endJ++]!;
        else outer *= from[endI++]!;
      }
      if (endJ - j === 1 && endI - i === 1) result[j] = coords[i]!;
      else if (endJ - j === 1) {
        const { at, lane, depth: reached } = address(coords.slice(i, endI), rowMajor(from.slice(i, endI)));
        result[j] = { at, lane, depth: reached };
      } else {
        const sizes = to.slice(j, endJ);
        const strides = rowMajor(sizes);
        const flat = address(coords.slice(i, endI), rowMajor(from.slice(i, endI)));
        // A run of four lanes stays in the last axis when that axis holds whole runs and the run starts at a multiple
        // of four.
        const runs =
          flat.lane === 0 ||
          (flat.lane === 1 &&
            sizes[sizes.length - 1]! % 4 === 0 &&
            (from[endI - 1] ?? 1) % 4 === 0 &&
            coords[endI - 1]?.lane === 1);
        if (!runs) return null;
        sizes.forEach((size, s) => {
          if (size === 1) return;
          const at = remember(
            flat.depth,
            `split|${key({ at: flat.at, lane: 0, depth: 0 })}|${strides[s]}|${size}|${s}`,
            () => {
              const quotient = k.div(flat.at, k.idx(strides[s]!));
              return bind(s === 0 ? quotient : k.rem(quotient, k.idx(size)), flat.depth, "i");
            },
          );
          result[j + s] = { at, lane: s === sizes.length - 1 ? flat.lane : 0, depth: flat.depth };
        });
      }
      j = endJ;
      i = endI;
    }
    return result;
  }

  function emit(node: Node, coords: readonly Coord[]): Expr {
    if (coords.length !== node.shape.length)
      fail(`${node.op} has rank ${node.shape.length}, asked at ${coords.length}`);
    const reached = coords.reduce((deepest, c) => Math.max(deepest, c.depth), 0);
    return remember(reached, valueId(node, coords), () => {
      const known = lookUp(scopes[reached]!.memo, node, coords) ?? withNeighbours(node, coords);
      if (known) return known;
      const buffer = options.bufferOf(node);
      const value =
        buffer === null
          ? compute(node, coords, reached)
          : load(buffer, placed(node, coords), node.dtype === "u32" ? "u32" : "f32");
      return bind(value, reached);
    });
  }

  /** A word that is loaded with its neighbours. */
  function withNeighbours(node: Node, coords: readonly Coord[]): Expr | null {
    const lane = laneOf(coords);
    const wide =
      options.wideLoads === true &&
      lane &&
      node.shape[node.shape.length - 1]! % 4 === 0 &&
      coords.every((c) => c.lane === 0) &&
      options.bufferOf(node) !== null;
    return wide ? k.extract(emit(node, lane.vector), lane.lane) : null;
  }

  /** Operands at the same coordinates, all of one width. */
  function operands(node: Node, coords: readonly Coord[]): Expr[] {
    return widen(node.inputs.map((input) => emit(input, coords)));
  }

  function compute(node: Node, coords: readonly Coord[], reached: number): Expr {
    switch (node.op) {
      case "constant":
        return node.dtype === "u32" ? k.u32(node.attrs.value) : k.f32(node.attrs.value);
      case "iota": {
        const c = coords[node.attrs.axis]!;
        const at = k.cast(c.at, k.U32);
        return c.lane === 0
          ? at
          : k.add(k.splat(at), k.lanes([k.u32(0), k.u32(c.lane), k.u32(2 * c.lane), k.u32(3 * c.lane)]));
      }
      case "neg":
      case "exp":
      case "log":
      case "sqrt":
      case "tanh":
      case "erf":
      case "abs":
      case "sin":
      case "cos":
      case "not":
        return k.unary(node.op, operands(node, coords)[0]!);
      case "sigmoid": {
        // exp only of non-positive numbers, so that nothing overflows.
        const x = operands(node, coords)[0]!;
        const one = like(x, 1);
        const e = bind(k.unary("exp", k.unary("neg", k.unary("abs", x))), reached);
        const r = bind(k.div(one, k.add(one, e)), reached);
        return k.select(k.lt(x, like(x, 0)), k.mul(e, r), r);
      }
      case "add":
      case "sub":
      case "mul":
      case "div":
      case "min":
      case "max":
      case "pow":
      case "lt":
      case "le":
      case "eq":
      case "and":
      case "or": {
        const [a, b] = operands(node, coords) as [Expr, Expr];
        return k.binary(node.op, a, b);
      }
      case "finite": {
        const bits = k.bitcast(operands(node, coords)[0]!, "u32");
        const largest = like(bits, 0x7f800000);
        return k.ne(k.and(bits, largest), largest);
      }
      case "select": {
        const [condition, then, otherwise] = operands(node, coords) as [Expr, Expr, Expr];
        return k.select(condition, then, otherwise);
      }
      case "cast": {
        const a = operands(node, coords)[0]!;
        const to = node.attrs.to;
        return a.type.of === to ? a : k.cast(a, { of: to, lanes: a.type.lanes });
      }
      case "threefry": {
        const [k0, k1, c0, c1] = operands(node, coords) as [Expr, Expr, Expr, Expr];
        return random(k0, k1, c0, c1, (value) => bind(value, reached))[node.attrs.word];
      }
      case "broadcast":
        return emit(node.inputs[0]!, behindBroadcast(node, coords));
      case "reshape": {
        const inner = reshapeCoords(node, coords);
        return inner ? emit(node.inputs[0]!, inner) : byLane(node, coords);
      }
      case "slice": {
        const { at, lane, depth: from } = address(coords, rowMajor(node.shape));
        const { offset } = node.attrs;
        if (offset === 0 || at.kind === "const")
          return emit(node.inputs[0]!, [
            { at: at.kind === "const" ? k.idx(at.value + offset) : at, lane, depth: from },
          ]);
        const moved = remember(from, `slice|${key({ at, lane: 0, depth: 0 })}|${offset}`, () =>
          bind(k.add(at, k.idx(offset)), from, "i"),
        );
        return emit(node.inputs[0]!, [{ at: moved, lane, depth: from }]);
      }
      case "gather": {
        const [table, index] = node.inputs as [Node, Node];
        const rank = index.shape.length;
        if (coords.slice(0, rank).some((c) => c.lane !== 0)) return byLane(node, coords);
        const row = emit(index, coords.slice(0, rank));
        const rowDepth = coords.slice(0, rank).reduce((deepest, c) => Math.max(deepest, c.depth), 0);
        const at = remember(rowDepth, `row|${index.id}|${coords.slice(0, rank).map(key).join(",")}`, () =>
          bind(k.cast(row, k.INDEX), rowDepth, "i"),
        );
        return emit(table, [{ at, lane: 0, depth: rowDepth }, ...coords.slice(rank)]);
      }
      case "sum":
      case "reduce_max":
      case "contract": {
        const { sizes, reduction } = reductionOf(node, coords);
        return within(reached, () => reduceAll(loops, sizes, [reduction])[0]!);
      }
      default:
        return fail(`no lowering for ${node.op} at this place`);
    }
  }

  /** The coordinates of a reduction's input: the kept ones, and those of the loop. */
  function merge(
    node: NodeWith<"sum"> | NodeWith<"reduce_max">,
    kept: readonly Coord[],
    reduced: readonly Coord[],
  ): Coord[] {
    let i = 0;
    let j = 0;
    return node.inputs[0]!.shape.map((_, axis) => (node.attrs.axes.includes(axis) ? reduced[j++]! : kept[i++]!));
  }

  /** A sum, a maximum, or a product of two tensors, at one element: what is combined over which extent. */
  function reductionOf(
    node: Reducing,
    coords: readonly Coord[],
  ): { readonly sizes: readonly number[]; readonly reduction: Reduction } {
    const wide = coords.some((c) => c.lane !== 0);
    if (node.op !== "contract") {
      const input = node.inputs[0]!;
      return {
        sizes: node.attrs.axes.map((axis) => input.shape[axis]!),
        reduction: { op: node.op, wide, item: (reduced) => emit(input, merge(node, coords, reduced)) },
      };
    }
    const l = letters(node.attrs.spec)!;
    const summed = [...l.a].filter((letter) => !l.out.includes(letter));
    const at = (term: string, reduced: readonly Coord[]): Coord[] =>
      [...term].map((letter) =>
        l.out.includes(letter) ? coords[l.out.indexOf(letter)]! : reduced[summed.indexOf(letter)]!,
      );
    const [x, y] = node.inputs as [Node, Node];
    const item = (reduced: readonly Coord[]): Expr => {
      const [left, right] = widen([emit(x, at(l.a, reduced)), emit(y, at(l.b, reduced))]) as [Expr, Expr];
      return k.mul(left, right);
    };
    return { sizes: summed.map((letter) => x.shape[l.a.indexOf(letter)]!), reduction: { op: "sum", wide, item } };
  }

  /**
   * Reductions that will be asked for in this scope: those of one extent share a walk, and their values are remembered.
   */
  function together(wanted: readonly Wanted[]): void {
    const groups = new Map<
      string,
      { readonly sizes: readonly number[]; readonly members: Map<string, Wanted & { readonly reduction: Reduction }> }
    >();
    for (const { node, coords } of wanted) {
      const id = valueId(node, coords);
      if (scopes[depth()]!.memo.has(id)) continue;
      const { sizes, reduction } = reductionOf(node, coords);
      const extent = `${reduction.op} ${sizes.join()}`;
      const group = groups.get(extent) ?? { sizes, members: new Map() };
      groups.set(extent, group);
      group.members.set(id, { node, coords, reduction });
    }
    for (const { sizes, members } of groups.values()) {
      for (const some of walks([...members], ([, { reduction }]) => reduction, loops)) {
        const values = reduceAll(
          loops,
          sizes,
          some.map(([, { reduction }]) => reduction),
        );
        some.forEach(([id], j) => scopes[depth()]!.memo.set(id, bind(values[j]!)));
      }
    }
  }

  /** Loops over all of `sizes`, the last innermost. */
  function nest(sizes: readonly number[], body: (coords: Coord[]) => void, outer: Coord[] = []): void {
    const [size, ...rest] = sizes;
    if (size === undefined) body(outer);
    else if (size === 1) nest(rest, body, [...outer, constant(0)]);
    else loop(k.idx(0), k.idx(size), 1, (c) => nest(rest, body, [...outer, c]));
  }

  /** Coordinates of a flat index, by division, bound in the current scope. */
  function split(flat: Coord, sizes: readonly number[]): Coord[] {
    const strides = rowMajor(sizes);
    const leading = sizes.findIndex((size) => size !== 1);
    return sizes.map((size, i) => {
      if (size === 1) return constant(0);
      const quotient = k.div(flat.at, k.idx(strides[i]!));
      return coord(i === leading ? quotient : k.rem(quotient, k.idx(size)));
    });
  }

  /** Fixes the value of an anchor at coordinates: its accumulators. */
  function define(node: Node, coords: readonly Coord[], value: Expr): void {
    const reached = coords.reduce((deepest, c) => Math.max(deepest, c.depth), 0);
    scopes[reached]!.memo.set(valueId(node, coords), value);
  }

  /** Stores `value` of `node` at coordinates into `buffer`; four words when a coordinate steps by lane. */
  function store(buffer: string, node: Node, coords: readonly Coord[], value: Expr): void {
    const place = placed(node, coords);
    const { at, lane } = address(place.coords, place.strides);
    if (lane === 0) push(k.store(buffer, at, value));
    else if (lane === 1) push(k.store(buffer, at, value.type.lanes === 4 ? value : k.splat(value)));
    else {
      for (const l of [0, 1, 2, 3] as const) {
        push(k.store(buffer, k.add(at, k.idx(l * lane)), value.type.lanes === 4 ? k.extract(value, l) : value));
      }
    }
  }

  const body = (): Stmt[] => [
    ...Array.from(shared, ([name, words]) => k.sharedS(name, "f32", words)),
    ...scopes[0]!.stmts,
  ];

  return {
    emit,
    together,
    bind,
    push,
    loop,
    guard,
    scoped,
    coord,
    split,
    nest,
    define,
    store,
    address,
    locate,
    fresh,
    depth,
    body,
  };
}
