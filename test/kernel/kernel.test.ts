/**
 * The IR itself: what build.ts folds, that text reads back as the same kernel, and that the verifier finds each kind of
 * fault.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as k from "../../src/kernel/build.js";
import type { Buffer, Expr, Kernel, Stmt } from "../../src/kernel/ir.js";
import { shortestF32 } from "../../src/kernel/literals.js";
import { keepLoops } from "../../src/kernel/loops.js";
import { parseKernel } from "../../src/kernel/parse.js";
import { printExpr, printKernel, structuralKey } from "../../src/kernel/text.js";
import { verifyKernel } from "../../src/kernel/verify.js";
import * as kernels from "./kernels.js";

const corpus: readonly Kernel[] = [
  kernels.saxpy(1000),
  kernels.softmax(4, 7),
  kernels.vector(3),
  kernels.threefry(5),
  kernels.integers,
  kernels.names,
  kernels.sharedSum,
  kernels.exchange,
  kernels.tiled,
];

describe("build", () => {
  it("folds index arithmetic and keeps constants last", () => {
    const x = k.ref("x", k.INDEX);
    const y = k.ref("y", k.INDEX);
    expect(
      [
        k.add(k.add(x, k.idx(3)), k.idx(5)),
        k.add(k.idx(3), x),
        k.add(x, k.add(y, k.idx(2))),
        k.add(k.add(x, k.idx(2)), y),
        k.mul(k.mul(x, k.idx(3)), k.idx(5)),
        k.mul(k.idx(1), x),
        k.mul(x, k.idx(0)),
        k.rem(x, k.idx(1)),
        k.div(k.idx(17), k.idx(5)),
        k.lt(k.idx(2), k.idx(3)),
      ].map(printExpr),
    ).toEqual(["(x + 8)", "(x + 3)", "((x + y) + 2)", "((x + y) + 2)", "(x * 15)", "x", "0", "0", "3", "true"]);
  });

  it("means the same after folding", () => {
    const value = (e: Expr, x: number): number => {
      if (e.kind === "const") return e.value;
      if (e.kind === "ref") return x;
      if (e.kind !== "binary") throw new Error(e.kind);
      const [a, b] = [value(e.a, x), value(e.b, x)];
      switch (e.op) {
        case "add":
          return a + b;
        case "mul":
          return a * b;
        case "div":
          return Math.floor(a / b);
        case "rem":
          return a % b;
        default:
          throw new Error(e.op);
      }
    };
    const step = fc.record({ op: fc.constantFrom("add", "mul", "div", "rem"), by: fc.nat(5), swap: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), fc.nat(20), (steps, x) => {
        let e: Expr = k.ref("x", k.INDEX);
        let expected = x;
        for (const { op, by, swap } of steps) {
          const right = by + (op === "div" || op === "rem" ? 1 : 0);
          const [b, n]: [Expr, number] = op === "add" && swap ? [k.ref("x", k.INDEX), x] : [k.idx(right), right];
          expected =
            op === "add"
              ? expected + n
              : op === "mul"
                ? expected * n
                : op === "div"
                  ? Math.floor(expected / n)
                  : expected % n;
          if (expected > 1e6) return;
          e = swap && (op === "add" || op === "mul") ? k.binary(op, b, e) : k.binary(op as "add", e, b);
        }
        expect(value(e, x)).toBe(expected);
      }),
    );
  });

  it("leaves floats alone", () => {
    expect(printExpr(k.add(k.f32(0), k.mul(k.f32(0), k.ref("x", k.F32))))).toBe("(0.0 + (0.0 * x))");
  });
});

describe("loops", () => {
  it("that are short count from a number that no compiler knows, and alignment is still to be seen", () => {
    const sum = (name: string, from: number, to: number, step: number): Stmt =>
      k.forS(name, k.idx(from), k.idx(to), step, [k.assign("s", k.load("x", k.ref(name, k.INDEX), k.F32))]);
    const kernel = (body: readonly Stmt[]): Kernel => ({
      name: "short",
      groups: 2,
      workgroup: 64,
      buffers: [{ name: "x", pool: "work", access: "read" }],
      body,
    });
    const body = [
      k.varS("s", k.f32(0)),
      sum("i", 0, 4, 1),
      sum("j", 8, 24, 4),
      sum("long", 0, 33, 1),
      k.ifS(k.lt(k.ref("local", k.INDEX), k.idx(3)), [sum("l", 0, 2, 1)]),
    ];
    const kept = kernel(keepLoops(body));
    expect(verifyKernel(kept)).toEqual([]);
    expect(printKernel(kept)).toMatchInlineSnapshot(`
      "kernel short(x: read work) groups 2 workgroup 64 {
        var s: f32 = 0.0
        for i_turn = group to (group + 4) step 1 {
          let i: index = (i_turn - group)
          s = x[i]
        }
        for j_turn = group to (group + 4) step 1 {
          let j: index = (((j_turn - group) * 4) + 8)
          s = x[j]
        }
        for long = 0 to 33 step 1 {
          s = x[long]
        }
        if (local < 3) {
          for l_turn = group to (group + 2) step 1 {
            let l: index = (l_turn - group)
            s = x[l]
          }
        }
      }"
    `);
  });
});

describe("text", () => {
  it.each(corpus.map((kernel) => [kernel.name, kernel] as const))("%s reads back", (_, kernel) => {
    expect(parseKernel(printKernel(kernel))).toEqual(kernel);
  });

  it("reads back odd constants and every operation", () => {
    const x = k.ref("x", k.F32);
    const v = k.splat(x, 4);
    const values: Expr[] = [
      ...[-0, 1e21, -1e-7, 3.4028234663852886e38, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(
        (value) => k.sub(x, k.f32(value)),
      ),
      ...(["neg", "exp", "log", "sqrt", "tanh", "erf", "abs", "sin", "cos", "floor"] as const).map((op) =>
        k.unary(op, x),
      ),
      k.pow(x, k.f32(2)),
      k.fma(x, x, x),
      k.select(k.lt(x, x), x, k.neg(x)),
      k.extract(k.add(v, v), 2),
      k.extract(k.load("b", k.idx(3), { of: "f32", lanes: 4 }), 0),
      k.extract(k.lanes([x, x, x, x]), 3),
      k.cast(k.u32(4294967295), k.F32),
      k.bitcast(k.bitcast(x, "u32"), "f32"),
      k.select(k.not(k.bool(false)), x, x),
    ];
    const kernel: Kernel = {
      name: "all",
      groups: 1,
      workgroup: 1,
      buffers: [{ name: "b", pool: "work", access: "read_write" }],
      body: [
        k.letS("x", k.load("b", k.idx(0), k.F32)),
        ...values.map((value, i) => k.store("b", k.idx(i), value)),
        k.store("b", k.idx(4), v),
      ],
    };
    expect(parseKernel(printKernel(kernel))).toEqual(kernel);
  });

  it("is short to read", () => {
    expect(printKernel(kernels.saxpy(1000))).toMatchInlineSnapshot(`
      "kernel saxpy(x: read work, y: read state, result: write out) groups 16 workgroup 1 {
        let from: index = (group * 64)
        let end: index = min((from + 64), 1000)
        for i = from to end step 1 {
          result[i] = fma(2.5, x[i], y[i])
        }
      }"
    `);
  });

  it("has a key without the name, and nothing else left out", () => {
    const kernel = kernels.saxpy(1000);
    expect(structuralKey({ ...kernel, name: "other" })).toBe(structuralKey(kernel));
    expect(structuralKey(kernels.saxpy(1001))).not.toBe(structuralKey(kernel));
    expect(structuralKey({ ...kernel, workgroup: 64 })).not.toBe(structuralKey(kernel));
  });

  it.each([
    "",
    "kernel x",
    "kernel x() groups 1 workgroup 1 { y = 1.0 ",
    "kernel x() groups 1 workgroup 1 { let a: f16 = 1.0 }",
    "kernel x() groups 1 workgroup 1 { let a: f32 = b }",
    "kernel x() # ",
  ])("refuses %j", (text) => expect(() => parseKernel(text)).toThrow(/kernel text:/));

  it("prints the shortest f32", () => {
    expect([0.1, 1 / 3, 16777216, 1e-45, -0, 3.4028234663852886e38, 1e10, -2.5].map(shortestF32)).toEqual([
      "0.1",
      "0.33333334",
      "16777216",
      "1.4013e-45",
      "-0",
      "3.4028234663852886e+38",
      "10000000000",
      "-2.5",
    ]);
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (x) =>
        Object.is(Math.fround(Number(shortestF32(x))), Math.fround(x)),
      ),
    );
  });
});

describe("verify", () => {
  it.each(corpus.map((kernel) => [kernel.name, kernel] as const))("%s is sound", (_, kernel) => {
    expect(verifyKernel(kernel)).toEqual([]);
  });

  const group = k.ref("group", k.INDEX);
  const local = k.ref("local", k.INDEX);
  const x = k.load("x", group, k.F32);
  const buffers: readonly Buffer[] = [
    { name: "x", pool: "work", access: "read" },
    { name: "y", pool: "out", access: "write" },
    { name: "n", pool: "ints", access: "read" },
    { name: "m", pool: "ints", access: "write" },
  ];
  const faults = (body: readonly Stmt[], workgroup = 1): string =>
    verifyKernel({ name: "k", groups: 2, workgroup, buffers, body }).join("; ");
  const V = { of: "f32", lanes: 4 } as const;

  const tiled = (wrong: Partial<Parameters<typeof k.tiles>[0]>): readonly Stmt[] =>
    kernels.tiled.body.flatMap((s) => (s.kind === "store" ? [] : s.kind === "tiles" ? k.tiles({ ...s, ...wrong }) : s));

  it.each<[string, readonly Stmt[], RegExp]>([
    ["an unknown name", [k.store("y", group, k.ref("z", k.F32))], /z is not declared/],
    [
      "a name out of scope",
      [k.ifS(k.bool(true), [k.letS("z", x)]), k.store("y", group, k.ref("z", k.F32))],
      /z is not declared/,
    ],
    ["a shadowed name", [k.letS("z", x), k.ifS(k.bool(true), [k.letS("z", x)])], /z is declared twice/],
    ["a name that printers keep", [k.letS("z_", x)], /z_ cannot be a name/],
    ["a word of the text form", [k.letS("barrier", x)], /barrier cannot be a name/],
    [
      "a name of the wrong type",
      [k.letS("z", x), k.store("y", group, k.cast(k.ref("z", k.U32), k.F32))],
      /z: f32 is used as u32/,
    ],
    ["assigning a let", [k.letS("z", x), k.assign("z", x)], /is no var/],
    ["assigning another type", [k.varS("z", x), k.assign("z", k.u32(1))], /z: f32 is assigned a u32/],
    ["a store to what is read", [k.store("x", group, x)], /x is stored to, and is for reading/],
    ["a load of what is written", [k.store("y", group, k.load("y", group, k.F32))], /y is loaded, and is for writing/],
    ["a wrong pool type", [k.store("m", group, x)], /m holds u32, not f32/],
    ["an unknown buffer", [k.store("q", group, x)], /q is no buffer/],
    ["an address that is no index", [k.store("y", k.u32(1), x)], /1u is u32, not index/],
    ["mixed operands", [k.store("y", group, k.add(x, k.u32(1)))], /takes f32 and u32/],
    ["mixed lanes", [k.store("y", group, k.add(k.load("x", group, V), x))], /takes f32x4 and f32/],
    ["an operation on the wrong type", [k.store("y", group, k.xor(x, x))], /xor does not take f32/],
    ["exp of a word", [k.store("m", group, k.exp(k.u32(1)))], /is typed u32/],
    ["a condition that is none", [k.ifS(x, [])], /is f32, not bool/],
    [
      "a scalar that selects lanes",
      [k.store("y", group, k.select(k.lt(x, x), k.splat(x, 4), k.splat(x, 4)))],
      /selects f32x4/,
    ],
    ["arms of two types", [k.store("y", group, k.select(k.lt(x, x), x, k.splat(x, 4)))], /typed f32/],
    ["a cast that is none", [k.ifS(k.cast(x, k.BOOL), [])], /casts a f32/],
    ["a bitcast that is none", [k.store("y", group, k.bitcast(x, "f32"))], /is typed f32/],
    ["an infinite constant", [k.store("y", group, k.f32(1e39))], /1e\+39 is no f32/],
    ["a negative index", [k.store("y", k.idx(-1), x)], /-1 is no index/],
    [
      "lanes shifted apart",
      [
        k.store(
          "m",
          group,
          k.shl(k.load("n", group, { of: "u32", lanes: 4 }), k.load("n", group, { of: "u32", lanes: 4 })),
        ),
      ],
      /different distances/,
    ],
    ["a lane of a scalar", [k.store("y", group, k.extract(x, 1))], /is typed f32/],
    [
      "an array overrun",
      [k.arrayS("a", "f32", 4), k.store("a", k.idx(1), k.load("x", group, V))],
      /a\[1\] is outside its 4 words/,
    ],
    ["an empty array", [k.arrayS("a", "f32", 0)], /a has 0 words/],
    ["a loop that stands still", [k.forS("i", k.idx(0), k.idx(4), 0, [])], /step 0/],
    ["shared memory on a CPU", [k.sharedS("s", "f32", 4)], /workgroup of one/],
    ["a barrier on a CPU", [k.barrier()], /workgroup of one/],
    ["tiles beyond their array", tiled({ index: k.idx(64) }), /sums\[64\] is outside its 2048 words/],
    ["tiles in short lines", tiled({ line: 16 }), /32 columns in lines of 16/],
    ["tiles of a buffer", tiled({ a: { of: "n", index: k.idx(0) } }), /n is a buffer: panels are arrays/],
    ["tiles of f32", tiled({ b: { of: "sums", index: k.idx(0) } }), /sums holds f32, not u32/],
    ["tiles without a number", tiled({ blocks: k.u32(1) }), /1u is u32, not index/],
    ["local on a CPU", [k.store("y", local, x)], /local is not declared/],
  ])("finds %s", (_, body, message) => expect(faults(body)).toMatch(message));

  it.each<[string, readonly Stmt[]]>([
    ["under a condition on local", [k.ifS(k.lt(local, k.idx(3)), [k.barrier()])]],
    ["in a loop that starts at local", [k.forS("i", local, k.idx(64), 64, [k.barrier()])]],
    [
      "under a variable that changes",
      [k.varS("z", k.idx(0)), k.assign("z", local), k.ifS(k.lt(k.ref("z", k.INDEX), k.idx(1)), [k.barrier()])],
    ],
    ["under a load that differs", [k.ifS(k.lt(k.load("x", local, k.F32), k.f32(1)), [k.barrier()])]],
    ["under a load of a pool that is written", [k.ifS(k.lt(k.load("n", group, k.U32), k.u32(1)), [k.barrier()])]],
  ])("refuses a barrier %s", (_, body) => expect(faults(body, 64)).toMatch(/may not reach/));

  it("takes a barrier in a uniform loop, and lanes in a workgroup", () => {
    expect(
      faults(
        [k.forS("i", k.idx(0), k.add(group, k.idx(2)), 1, [k.barrier()]), k.ifS(k.lt(x, k.f32(1)), [k.barrier()])],
        64,
      ),
    ).toBe("");
    expect(faults([k.store("y", group, k.load("x", group, V))], 64)).toBe("");
    expect(faults([k.ifS(k.bool(true), [k.sharedS("s", "f32", 4)])], 64)).toMatch(/not at the top/);
  });
});
