/** What the three printers write for small kernels: pinned, so that a change shows. */
import { describe, expect, it } from "vitest";
import { javascript } from "../../codegen/javascript/printer.js";
import { wasm } from "../../codegen/wasm/printer.js";
import { wgsl } from "../../codegen/wgsl/printer.js";
import * as k from "../../src/kernel/build.js";
import type { Kernel } from "../../src/kernel/ir.js";
import { parseKernel } from "../../src/kernel/parse.js";
import * as kernels from "../kernel/kernels.js";

const js = async (kernel: Kernel): Promise<string> => {
  const code = await javascript.print([kernel]);
  if (code.kind !== "javascript") throw new Error(code.kind);
  return code.text.slice(code.text.indexOf("return ["));
};
/** The module's own kernel, without what every module has. */
const wat = async (kernel: Kernel): Promise<string> => {
  const code = await wasm.print([kernel]);
  if (code.kind !== "wasm") throw new Error(code.kind);
  return code.text.slice(code.text.indexOf(`;; ${kernel.name}`), code.text.indexOf("(func $run"));
};
const shader = async (kernel: Kernel): Promise<string> => {
  const code = await wgsl.print([kernel]);
  if (code.kind !== "wgsl") throw new Error(code.kind);
  return code.modules[0]!;
};

describe("javascript", () => {
  it("saxpy", async () =>
    expect(await js(kernels.saxpy(1000))).toMatchInlineSnapshot(`
    "return [
    // saxpy: 16 groups
    function k0(offsets, begin, end) {
      const x = offsets[0], y = offsets[1], result = offsets[2];
      for (let group = begin; group < end; group++) {
        const from = (group * 64);
        const end_ = Math.min((from + 64), 1000);
        for (let i = from, i$end = end_; i < i$end; i += 1) {
          out[result + i] = (2.5 * work[x + i] + state[y + i]);
        }
      }
    },
    ];"
  `));
  it("names", async () =>
    expect(await js(kernels.names)).toMatchInlineSnapshot(`
    "return [
    // names: 3 groups
    function k0(offsets, begin, end) {
      const state_ = offsets[0], out_ = offsets[1];
      const new_ = new Float32Array(2);
      const new$1 = new Float32Array(5);
      for (let group = begin; group < end; group++) {
        const fn = work[state_ + group];
        let in_ = 0;
        for (let work_ = 0, work_$end = 2; work_ < work_$end; work_ += 1) {
          const min = work_;
          new_[work_] = min;
          in_ = (in_ + new_[work_]);
        }
        for (let work_ = 0, work_$end = (group + 1); work_ < work_$end; work_ += 1) {
          const min = fn;
          new$1[4] = Math.min(min, 100);
          in_ = (in_ + new$1[4]);
        }
        out[out_ + group] = in_;
      }
    },
    ];"
  `));
  it("takes no lanes and no workgroups", async () => {
    await expect(async () => javascript.print([kernels.vector(4)])).rejects.toThrow(/one lane/);
    await expect(async () => javascript.print([kernels.sharedSum])).rejects.toThrow(/of a CPU/);
  });
});

describe("wasm", () => {
  it("saxpy", async () =>
    expect(await wat(kernels.saxpy(1000))).toMatchInlineSnapshot(`
    ";; saxpy
    (func $k0 (export "k0") (type $kernel) (param $args i32) (param $scratch i32) (param $begin i32) (param $end i32)
    (local $x.at i32)
    (local $y.at i32)
    (local $result.at i32)
    (local $group i32)
    (local $from_0 i32)
    (local $t1._1 i32)
    (local $end_2 i32)
    (local $i_3 i32)
    (local $i_end_4 i32)
    (local $at_6 i32)
    (local $at_7 i32)
    (local $at_8 i32)
    (local.set $x.at (i32.load (local.get $args)))
    (local.set $y.at (i32.load offset=4 (local.get $args)))
    (local.set $result.at (i32.load offset=8 (local.get $args)))
    (local.set $group (local.get $begin))
    (block $done
    (loop $next
    (br_if $done (i32.ge_u (local.get $group) (local.get $end)))
    (local.set $from_0 (i32.mul (local.get $group) (i32.const 64)))
    (local.set $t1._1 (i32.add (local.get $from_0) (i32.const 64)))
    (local.set $end_2 (select (local.get $t1._1) (i32.const 1000) (i32.lt_u (local.get $t1._1) (i32.const 1000))))
    (local.set $i_3 (local.get $from_0))
    (local.set $i_end_4 (local.get $end_2))
    (if (i32.lt_u (local.get $i_3) (local.get $i_end_4)) (then
    (loop $l5
    (local.set $at_6 (i32.add (local.get $x.at) (i32.shl (local.get $i_3) (i32.const 2))))
    (local.set $at_7 (i32.add (local.get $y.at) (i32.shl (local.get $i_3) (i32.const 2))))
    (local.set $at_8 (i32.add (local.get $result.at) (i32.shl (local.get $i_3) (i32.const 2))))
    (f32.store (local.get $at_8) (f32.add (f32.mul (f32.const 2.5) (f32.load (local.get $at_6))) (f32.load (local.get $at_7))))
    (local.set $i_3 (i32.add (local.get $i_3) (i32.const 1)))
    (br_if $l5 (i32.lt_u (local.get $i_3) (local.get $i_end_4))))))
    (local.set $group (i32.add (local.get $group) (i32.const 1)))
    (br $next))))
    "
  `));
  it("vector", async () =>
    expect(await wat(kernels.vector(4))).toMatchInlineSnapshot(`
    ";; vector
    (func $k0 (export "k0") (type $kernel) (param $args i32) (param $scratch i32) (param $begin i32) (param $end i32)
    (local $input.at i32)
    (local $result.at i32)
    (local $group i32)
    (local $at_0 i32)
    (local $x_1 v128)
    (local $positive_2 v128)
    (local $y_3 v128)
    (local $at_4 i32)
    (local $at_5 i32)
    (local.set $input.at (i32.load (local.get $args)))
    (local.set $result.at (i32.load offset=4 (local.get $args)))
    (local.set $group (local.get $begin))
    (block $done
    (loop $next
    (br_if $done (i32.ge_u (local.get $group) (local.get $end)))
    (local.set $at_0 (i32.add (local.get $input.at) (i32.shl (i32.mul (local.get $group) (i32.const 4)) (i32.const 2))))
    (local.set $x_1 (v128.load offset=4 align=4 (local.get $at_0)))
    (local.set $positive_2 (f32x4.lt (v128.const f32x4 0 0 0 0) (local.get $x_1)))
    (local.set $y_3 (v128.bitselect (f32x4.mul (local.get $x_1) (local.get $x_1)) (f32x4.replace_lane 3 (f32x4.replace_lane 2 (f32x4.replace_lane 1 (f32x4.splat (f32.const 0)) (f32.const 1)) (f32.const 2)) (f32.const 3)) (local.get $positive_2)))
    (if (i32.eq (local.get $group) (i32.const 3)) (then
    (local.set $at_4 (i32.add (local.get $result.at) (i32.shl (i32.mul (local.get $group) (i32.const 4)) (i32.const 2))))
    (f32.store (local.get $at_4) (f32x4.extract_lane 0 (local.get $y_3)))
    (f32.store offset=4 (local.get $at_4) (f32x4.extract_lane 1 (local.get $y_3)))
    (f32.store offset=8 (local.get $at_4) (f32x4.extract_lane 2 (local.get $y_3)))
    (f32.store offset=12 (local.get $at_4) (f32x4.extract_lane 3 (local.get $y_3)))) (else
    (local.set $at_5 (i32.add (local.get $result.at) (i32.shl (i32.mul (local.get $group) (i32.const 4)) (i32.const 2))))
    (v128.store align=4 (local.get $at_5) (local.get $y_3))))
    (local.set $group (i32.add (local.get $group) (i32.const 1)))
    (br $next))))
    "
  `));
  it("takes no workgroups", async () =>
    await expect(async () => wasm.print([kernels.sharedSum])).rejects.toThrow(/of a CPU/));
  it("prints elementary functions in place", async () => {
    const code = await wasm.print([kernels.softmax(2, 3)]);
    if (code.kind !== "wasm") throw new Error(code.kind);
    expect(code.text.match(/\(func \$k/g)).toHaveLength(1);
    expect(code.scratchBytes).toBe(16);
    const twice = await wasm.print([{ ...kernels.softmax(2, 5) }]);
    expect(twice.kind === "wasm" && twice.scratchBytes).toBe(32);
  });
  it("writes both forms as files", async () => {
    const files = wasm.files("x", await wasm.print([kernels.saxpy(10)]));
    expect(files.map(({ path }) => path)).toEqual(["x.wasm", "x.wat"]);
    expect(WebAssembly.validate(files[0]!.content as Uint8Array<ArrayBuffer>)).toBe(true);
  });
});

describe("wgsl", () => {
  it("a sum in shared memory", async () =>
    expect(await shader(kernels.sharedSum)).toMatchInlineSnapshot(`
    "// shared_sum: 3 groups of 64
    @group(0) @binding(1) var<storage, read> work: array<f32>;
    @group(0) @binding(3) var<storage, read_write> out: array<f32>;
    @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 16>;
    var<workgroup> partial: array<f32, 64>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
      let group = workgroup.x;
      let x = offsets[workgroup.z][0];
      let result = offsets[workgroup.z][1];
      partial[local] = work[x + ((group * 64u) + local)];
      workgroupBarrier();
      if ((local < 32u)) {
        partial[local] = (partial[local] + partial[(local + 32u)]);
      }
      workgroupBarrier();
      if ((local < 16u)) {
        partial[local] = (partial[local] + partial[(local + 16u)]);
      }
      workgroupBarrier();
      if ((local < 8u)) {
        partial[local] = (partial[local] + partial[(local + 8u)]);
      }
      workgroupBarrier();
      if ((local < 4u)) {
        partial[local] = (partial[local] + partial[(local + 4u)]);
      }
      workgroupBarrier();
      if ((local < 2u)) {
        partial[local] = (partial[local] + partial[(local + 2u)]);
      }
      workgroupBarrier();
      if ((local < 1u)) {
        partial[local] = (partial[local] + partial[(local + 1u)]);
      }
      workgroupBarrier();
      if ((local == 0u)) {
        out[result + group] = partial[0u];
      }
    }
    "
  `));
  it("names, loops and arrays", async () =>
    expect(await shader({ ...kernels.names, workgroup: 64 })).toMatchInlineSnapshot(`
    "// names: 3 groups of 64
    @group(0) @binding(1) var<storage, read> work: array<f32>;
    @group(0) @binding(3) var<storage, read_write> out: array<f32>;
    @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 16>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
      let group = workgroup.x;
      let state_ = offsets[workgroup.z][0];
      let out_ = offsets[workgroup.z][1];
      let fn_ = work[state_ + group];
      var in = 0f;
      for (var work_ = 0u; work_ < 2u; work_ += 1u) {
        var new_: array<f32, 2>;
        let min_ = f32(work_);
        new_[work_] = min_;
        in = (in + new_[work_]);
      }
      { let work_end_ = (group + 1u);
      for (var work_ = 0u; work_ < work_end_; work_ += 1u) {
        var new_: array<f32, 5>;
        let min_ = fn_;
        new_[4u] = min(min_, 100f);
        in = (in + new_[4u]);
      } }
      out[out_ + group] = in;
    }
    "
  `));
  it("helpers, powers and many groups", async () => {
    const x = k.load("x", k.ref("group", k.INDEX), k.F32);
    const kernel: Kernel = {
      name: "special",
      groups: 100_000,
      workgroup: 1,
      buffers: [
        { name: "x", pool: "work", access: "read_write" },
        { name: "n", pool: "ints", access: "read" },
      ],
      body: [
        k.store(
          "x",
          k.ref("group", k.INDEX),
          k.add(k.add(k.erf(x), k.pow(x, k.f32(3))), k.add(k.tanh(x), k.pow(x, k.f32(-0.5)))),
        ),
      ],
    };
    expect(await shader(kernel)).toMatchInlineSnapshot(`
      "// special: 100000 groups of 1
      @group(0) @binding(1) var<storage, read_write> work: array<f32>;
      @group(0) @binding(2) var<storage, read> ints: array<u32>;
      @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 16>;
      fn erf(x: f32) -> f32 {
        let t0_ = max(min(x, 4f), (-4f));
        let t1_ = (t0_ * t0_);
        let t2_ = (t1_ * t1_);
        return max(min((t0_ * 0.33f + ((t0_ * ((((-0.00001067322f) * t1_ + (-0.000092346774f)) * t2_ + ((-0.0012050489f) * t1_ + 0.015147128f)) * t2_ + (0.02294803f * t1_ + 0.7983791f))) / (((0.000038731716f * t1_ + 0.0011455258f) * t2_ + (0.014785104f * t1_ + 0.11312995f)) * t2_ + (0.49985516f * t1_ + 1f)))), 1f), (-1f));
      }
      @compute @workgroup_size(1)
      fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
        let group = workgroup.x + workgroup.y * 65535u;
        if (group >= 100000u) { return; }
        let x = offsets[workgroup.z][0];
        let n = offsets[workgroup.z][1];
        let t0_ = work[x + group];
        let t1_ = (t0_ * t0_);
        let t2_ = (t0_ * t1_);
        let t3_ = work[x + group];
        work[x + group] = ((erf(work[x + group]) + t2_) + (tanh(clamp(work[x + group], -15.0f, 15.0f)) + exp(((-0.5f) * select(log(t3_), (-1e+30f), (t3_ == 0f))))));
      }
      "
    `);
  });
  it("four lanes: a pool of vec4 where every store is one, else words", async () => {
    const at = k.ref("at", k.INDEX);
    const V = { of: "f32", lanes: 4 } as const;
    const kernel: Kernel = {
      name: "lanes",
      groups: 2,
      workgroup: 64,
      buffers: [
        { name: "x", pool: "work", access: "read" },
        { name: "y", pool: "out", access: "write" },
        { name: "z", pool: "state", access: "read_write" },
      ],
      body: [
        k.letS("at", k.mul(k.add(k.mul(k.ref("group", k.INDEX), k.idx(64)), k.ref("local", k.INDEX)), k.idx(4))),
        k.letS("v", k.tanh(k.mul(k.load("x", at, V), k.splat(k.load("x", k.ref("local", k.INDEX), k.F32), 4)))),
        k.store("y", at, k.ref("v", V)),
        k.store("z", k.add(at, k.idx(1)), k.add(k.ref("v", V), k.load("z", at, V))),
      ],
    };
    expect(await shader(kernel)).toMatchInlineSnapshot(`
      "// lanes: 2 groups of 64
      @group(0) @binding(0) var<storage, read_write> state: array<f32>;
      @group(0) @binding(1) var<storage, read> work: array<vec4<f32>>;
      @group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
      @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 16>;
      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
        let group = workgroup.x;
        let x = offsets[workgroup.z][0];
        let y = offsets[workgroup.z][1];
        let z = offsets[workgroup.z][2];
        let at = (((group * 64u) + local) * 4u);
        let v = tanh(clamp((work[(x + at) >> 2u] * vec4<f32>(work[(x + local) >> 2u][(x + local) & 3u])), vec4<f32>(-15.0f), vec4<f32>(15.0f)));
        out[(y + at) >> 2u] = v;
        let t0_ = (v + vec4<f32>(state[z + at], state[z + (at + 1u)], state[z + (at + 2u)], state[z + (at + 3u)]));
        state[z + (at + 1u)] = t0_.x;
        state[z + (at + 2u)] = t0_.y;
        state[z + (at + 3u)] = t0_.z;
        state[z + (at + 4u)] = t0_.w;
      }
      "
    `);
  });

  it("half precision: a load widens, a store rounds, by the word and by the vector", async () => {
    const half = (body: string): Kernel =>
      parseKernel(`kernel half(b0: read half, b1: write half) groups 1 workgroup 64 {\n${body}\n}`);
    expect(await shader(half("let at: index = (4 * local)\nb1[at].x4 = (b0[at].x4 + b0[(at + 1)].x4)")))
      .toMatchInlineSnapshot(`
      "// half: 1 groups of 64
      enable f16;
      @group(0) @binding(5) var<storage, read_write> half: array<vec2<u32>>;
      @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 16>;
      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
        let group = workgroup.x;
        let b0 = offsets[workgroup.z][0];
        let b1 = offsets[workgroup.z][1];
        let at = (4u * local);
        half[(b1 + at) >> 2u] = bitcast<vec2<u32>>(vec4<f16>((vec4<f32>(bitcast<vec4<f16>>(half[(b0 + at) >> 2u])) + vec4<f32>(vec4<f16>(bitcast<vec2<f16>>(half[(b0 + (at + 1u)) >> 2u][((b0 + (at + 1u)) >> 1u) & 1u])[(b0 + (at + 1u)) & 1u], bitcast<vec2<f16>>(half[(b0 + (at + 2u)) >> 2u][((b0 + (at + 2u)) >> 1u) & 1u])[(b0 + (at + 2u)) & 1u], bitcast<vec2<f16>>(half[(b0 + (at + 3u)) >> 2u][((b0 + (at + 3u)) >> 1u) & 1u])[(b0 + (at + 3u)) & 1u], bitcast<vec2<f16>>(half[(b0 + (at + 4u)) >> 2u][((b0 + (at + 4u)) >> 1u) & 1u])[(b0 + (at + 4u)) & 1u])))));
      }
      "
    `);
    expect(await shader(half("b1[(local + 1)].x4 = splat(b0[local])"))).toMatchInlineSnapshot(`
      "// half: 1 groups of 64
      enable f16;
      @group(0) @binding(5) var<storage, read_write> half: array<f16>;
      @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 16>;
      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
        let group = workgroup.x;
        let b0 = offsets[workgroup.z][0];
        let b1 = offsets[workgroup.z][1];
        let t0_ = vec4<f32>(f32(half[b0 + local]));
        half[b1 + (local + 1u)] = f16(t0_.x);
        half[b1 + (local + 2u)] = f16(t0_.y);
        half[b1 + (local + 3u)] = f16(t0_.z);
        half[b1 + (local + 4u)] = f16(t0_.w);
      }
      "
    `);
  });
});
