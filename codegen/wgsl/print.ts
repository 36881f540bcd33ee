/**
 * Prints a kernel as a WGSL module with the entry point "main". A pool that the kernel uses is bound once, whole:
 * `read` when the kernel writes to no buffer of it, else `read_write`, since a range may not be bound twice with
 * different access; as words, or as vec4s (vectors.ts). The pool `half` is f16 in memory: a load widens to f32, a store
 * rounds. The offsets of the dispatch come in a uniform at a dynamic offset that the runtime chooses: an array of
 * vec4<u32>, for each copy as many as the buffers need. The third axis of the dispatch counts copies.
 *
 * Groups beyond 65535 (a limit of every adapter) run on two axes: the runtime dispatches (min(groups, 65535),
 * ceil(groups / 65535)) workgroups, and those past the last group return at once, all invocations together.
 */
import * as k from "../../src/kernel/build.js";
import { COPIES, GROUPS_IN_X, OFFSETS_BINDING, poolBindings } from "../../runtime/plan.js";
import { clusterOf } from "../../src/kernel/clusters.js";
import type { Kernel, Lanes, PoolName, Type } from "../../src/kernel/ir.js";
import { elementary } from "../../src/kernel/mathematics.js";
import { vectorsOf, type Vectors } from "../../src/kernel/vectors.js";
import { bind, helperName, printExpr, startPrinting, storedName, typeName, type Helper } from "./expressions.js";
import { printStmts } from "./statements.js";
import { rename } from "./words.js";

const NO_VECTORS: Vectors = { pools: new Set(), aligned: new Set() };

/** A function of the module that is made from its arithmetic. */
function helper(op: Helper, lanes: Lanes): string {
  const type: Type = { of: "f32", lanes };
  const state = startPrinting({
    pools: new Map(),
    vectors: NO_VECTORS,
    parameters: new Set(["x"]),
    need: () => undefined,
  });
  const result = elementary[op](k.ref("x", type), (part) => bind(state, part));
  return [
    `fn ${helperName(op, lanes)}(x: ${typeName(type)}) -> ${typeName(type)} {`,
    ...state.lines,
    `  return ${printExpr(state, result)};`,
    "}",
  ].join("\n");
}

/** A kernel as a module. Throws an Error for numbers that WGSL has no literal for. */
export function printModule(kernel: Kernel): string {
  const vectors = vectorsOf(kernel);
  const helpers = new Map<string, string>();
  const need = (op: Helper, lanes: Lanes): void => {
    const name = helperName(op, lanes);
    if (!helpers.has(name)) helpers.set(name, helper(op, lanes));
  };
  const state = startPrinting({
    pools: new Map(kernel.buffers.map(({ name, pool }) => [name, pool])),
    vectors,
    parameters: new Set(["group", "local"]),
    need,
  });
  printStmts(state, kernel.body, "  ");
  const hasExchanges = clusterOf(kernel.body) > 0;
  return [
    `// ${kernel.name}: ${kernel.groups} groups of ${kernel.workgroup}`,
    ...(kernel.buffers.some(({ pool }) => pool === "half") ? ["enable f16;"] : []),
    ...(hasExchanges ? ["enable subgroups;"] : []),
    ...bindingsOf(kernel, vectors),
    ...state.shared,
    ...helpers.values(),
    `@compute @workgroup_size(${kernel.workgroup})`,
    "fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: " +
      `u32${hasExchanges ? ", @builtin(subgroup_invocation_id) subgroup_lane: u32" : ""}) {`,
    ...groupOf(kernel),
    ...offsetsOf(kernel),
    ...state.lines,
    "}",
    "",
  ].join("\n");
}

/** How many vec4 the offsets of one copy take. */
const offsetVectors = ({ buffers }: Kernel): number => Math.ceil(buffers.length / 4);

/** The pools that the kernel uses, and the offsets of its dispatch. */
function bindingsOf(kernel: Kernel, vectors: Vectors): string[] {
  const pools = (Object.keys(poolBindings) as PoolName[]).flatMap((pool) => {
    const buffers = kernel.buffers.filter((buffer) => buffer.pool === pool);
    if (buffers.length === 0) return [];
    const access = buffers.every((buffer) => buffer.access === "read") ? "read" : "read_write";
    const type = storedName(pool, vectors.pools.has(pool) ? 4 : 1);
    return [`@group(0) @binding(${poolBindings[pool]}) var<storage, ${access}> ${pool}: array<${type}>;`];
  });
  if (!kernel.buffers.length) return pools;
  const size = COPIES * offsetVectors(kernel);
  return [...pools, `@group(0) @binding(${OFFSETS_BINDING}) var<uniform> offsets: array<vec4<u32>, ${size}>;`];
}

/** The number of the group, and the end of those past the last. */
function groupOf({ groups }: Kernel): string[] {
  if (groups <= GROUPS_IN_X) return ["  let group = workgroup.x;"];
  return [`  let group = workgroup.x + workgroup.y * ${GROUPS_IN_X}u;`, `  if (group >= ${groups}u) { return; }`];
}

/** The offset of every buffer, by the buffer's name. */
function offsetsOf(kernel: Kernel): string[] {
  const vectors = offsetVectors(kernel);
  const first = vectors === 1 ? "workgroup.z" : `workgroup.z * ${vectors}u`;
  return kernel.buffers.map(({ name }, slot) => {
    const vector = slot >> 2 ? ` + ${slot >> 2}u` : "";
    return `  let ${rename(name)} = offsets[${first}${vector}][${slot & 3}];`;
  });
}
