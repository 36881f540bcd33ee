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
import { poolType, type Expr, type Kernel, type PoolName, type Stmt, type Type } from "../../src/kernel/ir.js";
import { clusterOf } from "../../src/kernel/clusters.js";
import { shortestF32 } from "../../src/kernel/literals.js";
import { elementary, power } from "../../src/kernel/mathematics.js";
import { vectorsOf, type Vectors } from "../../src/kernel/vectors.js";
import { rename } from "./words.js";

const scalarName = (type: Type): string => (type.of === "index" ? "u32" : type.of);
const typeName = (type: Type): string => (type.lanes === 4 ? `vec4<${scalarName(type)}>` : scalarName(type));
/** A literal for every lane of a type. */
const wide = (text: string, type: Type): string => (type.lanes === 4 ? `${typeName(type)}(${text})` : text);
/**
 * The type of what lies in a pool. Four of half precision are two words, since drivers that load word by word take half
 * as long for them.
 */
const storedName = (pool: PoolName, lanes: 1 | 4): string =>
  pool !== "half" ? typeName({ of: poolType[pool], lanes }) : lanes === 4 ? "vec2<u32>" : "f16";
const fourHalves = (words: string): string => `bitcast<vec4<f16>>(${words})`;
const LANES = ["x", "y", "z", "w"] as const;
const NO_VECTORS: Vectors = { pools: new Set(), aligned: new Set() };

/**
 * Functions that are made from their arithmetic: WGSL has no erf, and promises of sin and cos only an absolute error of
 * 2^-11, which is not enough for a schedule of rates.
 */
const HELPERS = { erf: "erf", sin: "sine", cos: "cosine" } as const;
type Helper = keyof typeof HELPERS;

/** A function has one type, so four lanes have a function of their own. */
const helperName = (op: Helper, lanes: 1 | 4): string => (lanes === 4 ? `${HELPERS[op]}_4` : HELPERS[op]);

function helper(op: Helper, lanes: 1 | 4): string {
  const type: Type = { of: "f32", lanes };
  const names = new Map<string, string>([["x", "x"]]);
  const printer = createPrinter(new Map(), NO_VECTORS, names, () => undefined);
  const result = elementary[op](k.ref("x", type), printer.bind("  "));
  return [
    `fn ${helperName(op, lanes)}(x: ${typeName(type)}) -> ${typeName(type)} {`,
    ...printer.lines,
    `  return ${printer.expr(result)};`,
    "}",
  ].join("\n");
}

export function printModule(kernel: Kernel): string {
  const pools = new Map(kernel.buffers.map(({ name, pool }) => [name, pool]));
  const vectors = vectorsOf(kernel);
  const helpers = new Map<string, string>();
  const need = (op: Helper, lanes: 1 | 4): void =>
    void (helpers.has(helperName(op, lanes)) || helpers.set(helperName(op, lanes), helper(op, lanes)));
  const printer = createPrinter(
    pools,
    vectors,
    new Map([
      ["group", "group"],
      ["local", "local"],
    ]),
    need,
  );
  printer.stmts(kernel.body, "  ");
  const bindings = (Object.keys(poolBindings) as PoolName[]).flatMap((pool) => {
    const own = kernel.buffers.filter((buffer) => buffer.pool === pool);
    if (own.length === 0) return [];
    const access = own.every((buffer) => buffer.access === "read") ? "read" : "read_write";
    return [
      `@group(0) @binding(${poolBindings[pool]}) var<storage, ${access}> ${pool}: ` +
        `array<${storedName(pool, vectors.pools.has(pool) ? 4 : 1)}>;`,
    ];
  });
  const two = kernel.groups > GROUPS_IN_X;
  const exchanges = clusterOf(kernel.body) > 0;
  const vec4s = Math.ceil(kernel.buffers.length / 4);
  const first = vec4s === 1 ? "workgroup.z" : `workgroup.z * ${vec4s}u`;
  return [
    `// ${kernel.name}: ${kernel.groups} groups of ${kernel.workgroup}`,
    ...(kernel.buffers.some(({ pool }) => pool === "half") ? ["enable f16;"] : []),
    ...(exchanges ? ["enable subgroups;"] : []),
    ...bindings,
    ...(kernel.buffers.length
      ? [`@group(0) @binding(${OFFSETS_BINDING}) var<uniform> offsets: array<vec4<u32>, ${COPIES * vec4s}>;`]
      : []),
    ...printer.shared,
    ...helpers.values(),
    `@compute @workgroup_size(${kernel.workgroup})`,
    "fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: " +
      `u32${exchanges ? ", @builtin(subgroup_invocation_id) subgroup_lane: u32" : ""}) {`,
    two ? `  let group = workgroup.x + workgroup.y * ${GROUPS_IN_X}u;` : "  let group = workgroup.x;",
    ...(two ? [`  if (group >= ${kernel.groups}u) { return; }`] : []),
    ...kernel.buffers.map(
      ({ name }, slot) =>
        `  let ${rename(name)} = offsets[${first}${slot >> 2 ? ` + ${slot >> 2}u` : ""}][${slot & 3}];`,
    ),
    ...printer.lines,
    "}",
    "",
  ].join("\n");
}

function createPrinter(
  pools: ReadonlyMap<string, PoolName>,
  vectors: Vectors,
  fixed: ReadonlyMap<string, string>,
  need: (op: Helper, lanes: 1 | 4) => void,
) {
  const lines: string[] = [];
  const shared: string[] = [];
  let temporaries = 0;
  let indent = "  ";
  const nameOf = (name: string): string => fixed.get(name) ?? rename(name);

  /** Names the value of an expression; temporaries end in `_`, which no name of a kernel does. */
  const bind =
    (at: string) =>
    (e: Expr): Expr => {
      if (e.kind === "ref" || e.kind === "const") return e;
      const name = `t${temporaries++}_`;
      lines.push(`${at}let ${name} = ${expr(e)};`);
      return k.ref(name, e.type);
    };

  /** One word. */
  const place = (name: string, index: Expr): string => {
    const pool = pools.get(name);
    if (pool === undefined) return `${nameOf(name)}[${expr(index)}]`;
    const at = address(name, index);
    if (!vectors.pools.has(pool)) return `${pool}[${at}]`;
    const four = `${pool}[(${at}) >> 2u]`;
    return pool === "half"
      ? `bitcast<vec2<f16>>(${four}[((${at}) >> 1u) & 1u])[(${at}) & 1u]`
      : `${four}[(${at}) & 3u]`;
  };
  const address = (name: string, index: Expr): string =>
    index.kind === "const" && index.value === 0 ? nameOf(name) : `${nameOf(name)} + ${expr(index)}`;
  /** Four words as one, where the pool is made of vec4 and they lie so. */
  const whole = (name: string, index: Expr, at: Expr | Stmt): string | null => {
    const pool = pools.get(name);
    return pool !== undefined && vectors.pools.has(pool) && vectors.aligned.has(at)
      ? `${pool}[(${address(name, index)}) >> 2u]`
      : null;
  };
  const load = (e: Extract<Expr, { readonly kind: "load" }>): string => {
    const half = pools.get(e.from) === "half";
    if (e.type.lanes === 1) return half ? `f32(${place(e.from, e.index)})` : place(e.from, e.index);
    const four = whole(e.from, e.index, e);
    const one = (l: number): string => place(e.from, k.add(e.index, k.idx(l)));
    if (half)
      return `${typeName(e.type)}(${four === null ? `vec4<f16>(${LANES.map((_, l) => one(l)).join(", ")})` : fourHalves(four)})`;
    return four ?? `${typeName(e.type)}(${LANES.map((_, l) => one(l)).join(", ")})`;
  };
  /** As it is stored to a buffer. */
  const rounded = (to: string, value: Expr): string => {
    if (pools.get(to) !== "half") return expr(value);
    return value.type.lanes === 4 ? `bitcast<vec2<u32>>(vec4<f16>(${expr(value)}))` : `f16(${expr(value)})`;
  };

  function expr(e: Expr): string {
    switch (e.kind) {
      case "const":
        return literal(e.value, e.type);
      case "ref":
        return nameOf(e.name);
      case "unary":
        return unary(e);
      case "binary":
        return binary(e);
      // Not the built-in fma: adapters without the instruction emulate it, slowly.
      case "fma":
        return `(${expr(e.a)} * ${expr(e.b)} + ${expr(e.c)})`;
      case "select":
        return `select(${expr(e.else)}, ${expr(e.then)}, ${expr(e.condition)})`;
      case "load":
        return load(e);
      case "cast":
        return typeName(e.type) === typeName(e.a.type) ? expr(e.a) : `${typeName(e.type)}(${expr(e.a)})`;
      case "bitcast":
        return `bitcast<${typeName(e.type)}>(${expr(e.a)})`;
      case "splat":
        return wide(expr(e.a), e.type);
      case "lanes":
        return `${typeName(e.type)}(${e.items.map(expr).join(", ")})`;
      case "shuffle": {
        const [a, b] = [e.a, e.b].map(bind(indent)).map(expr);
        return `${typeName(e.type)}(${e.order.map((lane) => `${lane < 4 ? a : b}.${LANES[lane & 3]}`).join(", ")})`;
      }
      case "extract":
        return `${expr(e.a)}.${LANES[e.lane]}`;
      case "exchange":
        return `subgroupShuffle(${expr(e.a)}, (subgroup_lane & ${~(e.width - 1) >>> 0}u) | ${expr(e.lane)})`;
      default:
        return e satisfies never;
    }
  }

  function unary(e: Extract<Expr, { readonly kind: "unary" }>): string {
    switch (e.op) {
      case "neg":
        return `(-${expr(e.a)})`;
      case "not":
        return `(!${expr(e.a)})`;
      // Some drivers compute tanh from exp(2x), which overflows; beyond 15 it is 1 anyway.
      case "tanh":
        return `tanh(clamp(${expr(e.a)}, ${wide("-15.0f", e.type)}, ${wide("15.0f", e.type)}))`;
      case "erf":
      case "sin":
      case "cos":
        need(e.op, e.type.lanes);
        return `${helperName(e.op, e.type.lanes)}(${expr(e.a)})`;
      case "exp":
      case "log":
      case "sqrt":
      case "abs":
      case "floor":
        return `${e.op}(${expr(e.a)})`;
      default:
        return e.op satisfies never;
    }
  }

  function binary(e: Extract<Expr, { readonly kind: "binary" }>): string {
    if (e.op === "pow") return expr(power(e.a, e.b, bind(indent)));
    const a = expr(e.a);
    const b = expr(e.b);
    switch (e.op) {
      case "min":
      case "max":
        return `${e.op}(${a}, ${b})`;
      case "add":
        return `(${a} + ${b})`;
      case "sub":
        return `(${a} - ${b})`;
      case "mul":
        return `(${a} * ${b})`;
      case "div":
        return `(${a} / ${b})`;
      case "rem":
        return `(${a} % ${b})`;
      case "lt":
        return `(${a} < ${b})`;
      case "le":
        return `(${a} <= ${b})`;
      case "eq":
        return `(${a} == ${b})`;
      case "ne":
        return `(${a} != ${b})`;
      case "and":
        return `(${a} & ${b})`;
      case "or":
        return `(${a} | ${b})`;
      case "xor":
        return `(${a} ^ ${b})`;
      case "shl":
        return `(${a} << ${b})`;
      case "shr":
        return `(${a} >> ${b})`;
      default:
        return e.op satisfies never;
    }
  }

  function stmts(list: readonly Stmt[], at: string): void {
    const line = (text: string): void => void lines.push(`${at}${text}`);
    for (const s of list) {
      indent = at;
      switch (s.kind) {
        case "let":
          line(`let ${nameOf(s.name)} = ${expr(s.value)};`);
          break;
        case "var":
          line(`var ${nameOf(s.name)} = ${expr(s.value)};`);
          break;
        case "assign":
          line(`${nameOf(s.name)} = ${expr(s.value)};`);
          break;
        case "store": {
          const to = s.value.type.lanes === 4 ? whole(s.to, s.index, s) : place(s.to, s.index);
          if (to !== null) line(`${to} = ${rounded(s.to, s.value)};`);
          else {
            const value = bind(at)(s.value);
            LANES.forEach((_, i) =>
              line(
                `${place(s.to, k.add(s.index, k.idx(i)))} = ${rounded(s.to, k.extract(value, i as 0 | 1 | 2 | 3))};`,
              ),
            );
          }
          break;
        }
        case "for": {
          // The bound is evaluated once: in a block of its own, unless it is a constant.
          const constant = s.to.kind === "const";
          const name = nameOf(s.name);
          const end = constant ? expr(s.to) : `${s.name}_end_`;
          const from = expr(s.from);
          if (!constant) line(`{ let ${end} = ${expr(s.to)};`);
          line(`for (var ${name} = ${from}; ${name} < ${end}; ${name} += ${s.step}u) {`);
          stmts(s.body, `${at}  `);
          line(constant ? "}" : "} }");
          break;
        }
        case "if":
          line(`if (${expr(s.condition)}) {`);
          stmts(s.then, `${at}  `);
          if (s.else.length) {
            line("} else {");
            stmts(s.else, `${at}  `);
          }
          line("}");
          break;
        case "array":
          line(`var ${nameOf(s.name)}: array<${s.of}, ${s.size}>;`);
          break;
        case "shared":
          shared.push(`var<workgroup> ${nameOf(s.name)}: array<${s.of}, ${s.size}>;`);
          break;
        case "barrier":
          line(s.storage ? "workgroupBarrier(); storageBarrier();" : "workgroupBarrier();");
          break;
        default:
          s satisfies never;
      }
    }
  }

  return { lines, shared, bind, expr, stmts };
}

function literal(value: number, { of }: Type): string {
  switch (of) {
    case "f32": {
      if (!Number.isFinite(Math.fround(value))) throw new Error("codegen: WGSL has no literal for infinity or NaN");
      const text = shortestF32(value);
      return text.startsWith("-") ? `(${text}f)` : `${text}f`;
    }
    case "u32":
    case "index":
      return `${value}u`;
    case "bool":
      return `${value !== 0}`;
    default:
      return of satisfies never;
  }
}
