/**
 * Small kernels that several suites share: each exercises one side of the IR, written with build.ts as skeletons do.
 */
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel, Lanes } from "../../src/kernel/ir.js";
import { random } from "../../src/schedule/emit/random.js";

const group = k.ref("group", k.INDEX);
const i = k.ref("i", k.INDEX);

/** out[i] = a * x[i] + y[i], 64 elements a group. */
export const saxpy = (total: number): Kernel => ({
  name: "saxpy",
  groups: Math.ceil(total / 64),
  workgroup: 1,
  buffers: [
    { name: "x", pool: "work", access: "read" },
    { name: "y", pool: "state", access: "read" },
    { name: "result", pool: "out", access: "write" },
  ],
  body: [
    k.letS("from", k.mul(group, k.idx(64))),
    k.letS("end", k.min(k.add(k.ref("from", k.INDEX), k.idx(64)), k.idx(total))),
    k.forS("i", k.ref("from", k.INDEX), k.ref("end", k.INDEX), 1, [
      k.store("result", i, k.fma(k.f32(2.5), k.load("x", i, k.F32), k.load("y", i, k.F32))),
    ]),
  ],
});

/** A softmax of each row of `width`, with the exponentials in a private array. */
export const softmax = (rows: number, width: number): Kernel => {
  const base = k.ref("base", k.INDEX);
  const at = k.add(base, i);
  return {
    name: "row_softmax",
    groups: rows,
    workgroup: 1,
    buffers: [
      { name: "x", pool: "work", access: "read" },
      { name: "result", pool: "out", access: "write" },
    ],
    body: [
      k.arrayS("e", "f32", width),
      k.letS("base", k.mul(group, k.idx(width))),
      k.varS("top", k.f32(-3.4028234663852886e38)),
      k.forS("i", k.idx(0), k.idx(width), 1, [k.assign("top", k.max(k.ref("top", k.F32), k.load("x", at, k.F32)))]),
      k.varS("sum", k.f32(0)),
      k.forS("i", k.idx(0), k.idx(width), 1, [
        k.letS("v", k.exp(k.sub(k.load("x", at, k.F32), k.ref("top", k.F32)))),
        k.store("e", i, k.ref("v", k.F32)),
        k.assign("sum", k.add(k.ref("sum", k.F32), k.ref("v", k.F32))),
      ]),
      k.forS("i", k.idx(0), k.idx(width), 1, [
        k.store("result", at, k.div(k.load("e", i, k.F32), k.ref("sum", k.F32))),
      ]),
    ],
  };
};

/** Some lanes: y = x > 0 ? x * x : lane number, and the last group stores single lanes. */
export const vector = (groups: number, lanes: Exclude<Lanes, 1> = 4): Kernel => {
  const type = { of: "f32", lanes } as const;
  const at = k.mul(group, k.idx(lanes));
  const x = k.ref("x", type);
  const numbers = Array.from({ length: lanes }, (_, lane) => lane);
  return {
    name: "vector",
    groups,
    workgroup: 1,
    buffers: [
      { name: "input", pool: "work", access: "read" },
      { name: "result", pool: "out", access: "write" },
    ],
    body: [
      k.letS("x", k.load("input", k.add(at, k.idx(1)), type)),
      k.letS("positive", k.lt(k.splat(k.f32(0), lanes), x)),
      k.letS("y", k.select(k.ref("positive", { of: "bool", lanes }), k.mul(x, x), k.lanes(numbers.map(k.f32)))),
      k.ifS(
        k.eq(group, k.idx(groups - 1)),
        numbers.map((lane) => k.store("result", k.add(at, k.idx(lane)), k.extract(k.ref("y", type), lane))),
        [k.store("result", at, k.ref("y", type))],
      ),
    ],
  };
};

/** Threefry of (key, group) into two words. */
export const threefry = (groups: number): Kernel => {
  const lets: ReturnType<typeof k.letS>[] = [];
  const bind = (value: Expr): Expr => {
    lets.push(k.letS(`t${lets.length}`, value));
    return k.ref(`t${lets.length - 1}`, value.type);
  };
  const [a, b] = random(
    k.load("key", k.idx(0), k.U32),
    k.load("key", k.idx(1), k.U32),
    k.cast(group, k.U32),
    k.u32(7),
    bind,
  );
  return {
    name: "threefry",
    groups,
    workgroup: 1,
    buffers: [
      { name: "key", pool: "ints", access: "read" },
      { name: "result", pool: "ints", access: "write" },
    ],
    body: [
      ...lets,
      k.store("result", k.mul(group, k.idx(2)), a),
      k.store("result", k.add(k.mul(group, k.idx(2)), k.idx(1)), b),
    ],
  };
};

/** Index and word arithmetic, comparisons, logic and casts; one word of the result for each. */
export const integers: Kernel = (() => {
  const a = k.ref("a", k.U32);
  const b = k.ref("b", k.U32);
  const n = k.ref("n", k.INDEX);
  const flag = k.ref("flag", k.BOOL);
  const values: Expr[] = [
    k.add(a, b),
    k.sub(a, b),
    k.mul(a, b),
    k.div(a, b),
    k.rem(a, b),
    k.min(a, b),
    k.max(a, b),
    k.and(a, b),
    k.or(a, b),
    k.xor(a, b),
    k.shl(a, k.u32(5)),
    k.shr(a, k.u32(7)),
    k.cast(k.lt(a, b), k.U32),
    k.cast(k.le(a, a), k.U32),
    k.cast(k.eq(a, b), k.U32),
    k.cast(k.ne(a, b), k.U32),
    k.cast(k.and(flag, k.not(k.lt(b, a))), k.U32),
    k.cast(k.or(flag, k.lt(b, a)), k.U32),
    k.cast(k.eq(flag, k.bool(true)), k.U32),
    k.cast(k.div(k.add(n, k.idx(17)), k.idx(5)), k.U32),
    k.cast(k.rem(k.add(n, k.idx(17)), k.idx(5)), k.U32),
    k.cast(k.min(n, k.idx(3)), k.U32),
    k.cast(k.max(n, k.idx(3)), k.U32),
    k.cast(k.div(k.cast(a, k.F32), k.f32(16777216)), k.U32),
    k.bitcast(k.cast(n, k.F32), "u32"),
    k.bitcast(k.bitcast(a, "f32"), "u32"),
    k.select(flag, a, b),
    k.u32(0xffffffff),
    k.cast(k.cast(k.and(a, k.u32(7)), k.INDEX), k.U32),
  ];
  return {
    name: "integers",
    groups: 4,
    workgroup: 1,
    buffers: [
      { name: "words", pool: "ints", access: "read" },
      { name: "result", pool: "ints", access: "write" },
    ],
    body: [
      k.letS("n", group),
      k.letS("a", k.load("words", k.mul(group, k.idx(2)), k.U32)),
      k.letS("b", k.load("words", k.add(k.mul(group, k.idx(2)), k.idx(1)), k.U32)),
      k.letS("flag", k.ne(k.rem(n, k.idx(2)), k.idx(0))),
      ...values.map((value, w) => k.store("result", k.add(k.mul(n, k.idx(values.length)), k.idx(w)), value)),
    ],
  };
})();

/** Names that targets reserve, and sibling scopes that reuse one, arrays of different sizes included. */
export const names: Kernel = {
  name: "names",
  groups: 3,
  workgroup: 1,
  buffers: [
    { name: "state", pool: "work", access: "read" },
    { name: "out", pool: "out", access: "write" },
  ],
  body: [
    k.letS("fn", k.load("state", group, k.F32)),
    k.varS("in", k.f32(0)),
    k.forS("work", k.idx(0), k.idx(2), 1, [
      k.arrayS("new", "f32", 2),
      k.letS("min", k.cast(k.ref("work", k.INDEX), k.F32)),
      k.store("new", k.ref("work", k.INDEX), k.ref("min", k.F32)),
      k.assign("in", k.add(k.ref("in", k.F32), k.load("new", k.ref("work", k.INDEX), k.F32))),
    ]),
    k.forS("work", k.idx(0), k.add(group, k.idx(1)), 1, [
      k.arrayS("new", "f32", 5),
      k.letS("min", k.ref("fn", k.F32)),
      k.store("new", k.idx(4), k.min(k.ref("min", k.F32), k.f32(100))),
      k.assign("in", k.add(k.ref("in", k.F32), k.load("new", k.idx(4), k.F32))),
    ]),
    k.store("out", group, k.ref("in", k.F32)),
  ],
};

/** The sum of 64 numbers a group, by a tree in shared memory. GPU only. */
export const sharedSum: Kernel = (() => {
  const local = k.ref("local", k.INDEX);
  const tree = [32, 16, 8, 4, 2, 1].flatMap((half) => [
    k.ifS(k.lt(local, k.idx(half)), [
      k.store(
        "partial",
        local,
        k.add(k.load("partial", local, k.F32), k.load("partial", k.add(local, k.idx(half)), k.F32)),
      ),
    ]),
    k.barrier(),
  ]);
  return {
    name: "shared_sum",
    groups: 3,
    workgroup: 64,
    buffers: [
      { name: "x", pool: "work", access: "read" },
      { name: "result", pool: "out", access: "write" },
    ],
    body: [
      k.sharedS("partial", "f32", 64),
      k.store("partial", local, k.load("x", k.add(k.mul(group, k.idx(64)), local), k.F32)),
      k.barrier(),
      ...tree,
      k.ifS(k.eq(local, k.idx(0)), [k.store("result", group, k.load("partial", k.idx(0), k.F32))]),
    ],
  };
})();

/** Every invocation stores a number and reads that of another, through the same buffer. GPU only. */
export const exchange: Kernel = (() => {
  const local = k.ref("local", k.INDEX);
  const at = (i: Expr): Expr => k.add(k.mul(k.ref("group", k.INDEX), k.idx(64)), i);
  return {
    name: "exchange",
    groups: 3,
    workgroup: 64,
    buffers: [
      { name: "x", pool: "work", access: "read_write" },
      { name: "result", pool: "out", access: "write" },
    ],
    body: [
      k.store("x", at(local), k.mul(k.load("x", at(local), k.F32), k.f32(2))),
      k.barrier(true),
      k.store("result", at(local), k.load("x", at(k.sub(k.idx(63), local)), k.F32)),
    ],
  };
})();

/** A block of products of bf16, which is set, and another that is added to. */
export const tiled: Kernel = (() => {
  const block = (adds: boolean): Parameters<typeof k.tiles>[0] => ({
    to: "sums",
    index: k.idx(adds ? 32 : 0),
    line: 64,
    a: { of: "rows", index: k.idx(0) },
    b: { of: "columns", index: k.mul(group, k.idx(0)) },
    blocks: k.add(k.rem(group, k.idx(1)), k.idx(1)),
    adds,
  });
  return {
    name: "tiled",
    groups: 2,
    workgroup: 1,
    buffers: [{ name: "result", pool: "out", access: "write" }],
    body: [
      k.arrayS("rows", "u32", 512),
      k.arrayS("columns", "u32", 512),
      k.arrayS("sums", "f32", 32 * 64),
      k.tiles(block(false)),
      k.tiles(block(true)),
      k.store("result", group, k.load("sums", k.idx(0), k.F32)),
    ],
  };
})();
