/**
 * The kernel IR: a loop nest over pools and offsets, the one thing that skeletons make and printers print. Everything
 * is decided here (loop order, unrolling, vector lanes, shared memory), so that a printer is a walk over the tree.
 *
 * A kernel is run for `groups` independent groups. On a GPU a group is a workgroup of `workgroup` invocations, and the
 * body runs once per invocation with the variables `group` and `local` (type index) in scope. On a CPU `workgroup` is 1
 * and the printer makes a function (args, begin, end) that runs the body for group = begin .. end - 1; the caller
 * splits the groups over threads, in any way, without changing a bit of the result.
 *
 * Memory: a kernel has buffers; each is a range of a pool that starts at an offset given at dispatch, in words, a
 * multiple of 64. `load`/`store` address buffer words from there. Two buffers of one kernel may be the same range only
 * if every invocation reads its elements before it writes the same ones. Names (`let`, `var`, loops, arrays) are unique
 * in a kernel, except that printers must accept sibling scopes that reuse a name.
 */

import type { PoolName } from "../../runtime/plan.js";
/** Where a buffer lies (`runtime/plan.ts`): `state`, `work`, `ints`, `out` or `half`. */
export type { PoolName };

/**
 * The type of values that are loaded from a pool and stored to it: u32 for `ints`, f32 for the others. Words of `half`
 * are f16 in memory and nowhere else: a load widens them and a store rounds, so that all arithmetic, and every sum, is
 * in f32.
 */
export const poolType: Readonly<Record<PoolName, "f32" | "u32">> = {
  state: "f32",
  work: "f32",
  ints: "u32",
  out: "f32",
  half: "f32",
};

/** `index` is for addresses and loop counters: non-negative, below 2^31, never wraps. `u32` wraps modulo 2^32. */
export type ScalarKind = "f32" | "u32" | "bool" | "index";
/**
 * How many values a vector holds; 1 is a scalar. WebAssembly has 4, a GPU too (a vec4), C as many as its processor's
 * registers.
 */
export type Lanes = 1 | 4 | 8 | 16;
/** The type of a value: vectors exist of f32, u32 and bool. */
export interface Type {
  readonly of: ScalarKind;
  readonly lanes: Lanes;
}

/** A range of a pool that a kernel loads from or stores to. */
export interface Buffer {
  readonly name: string;
  readonly pool: PoolName;
  readonly access: "read" | "write" | "read_write";
}

/** A kernel, whole: what `verify.ts` checks and a printer prints. */
export interface Kernel {
  /** A readable stem such as "matmul" or "row_softmax"; made unique by the plan. */
  readonly name: string;
  /** How many groups it runs for, 1 at least. */
  readonly groups: number;
  /** Invocations of a group; 1 on a CPU. */
  readonly workgroup: number;
  /** The buffers, in the order of the dispatch's offsets. */
  readonly buffers: readonly Buffer[];
  readonly body: readonly Stmt[];
}

/** Operations of one operand: `not` of bool, all others of f32. */
export type UnaryOp = "neg" | "exp" | "log" | "sqrt" | "tanh" | "erf" | "abs" | "sin" | "cos" | "floor" | "not";
/** Operations of two operands of one type (see `binary` in `Expr`). */
export type BinaryOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "rem"
  | "min"
  | "max"
  | "pow"
  | "lt"
  | "le"
  | "eq"
  | "ne"
  | "and"
  | "or"
  | "xor"
  | "shl"
  | "shr";

/**
 * A value, with its type. `from` of a load names a buffer of the kernel, or an `array` or `shared` that its body
 * declares.
 */
export type Expr =
  | { readonly kind: "const"; readonly value: number; readonly type: Type }
  | { readonly kind: "ref"; readonly name: string; readonly type: Type }
  | { readonly kind: "unary"; readonly op: UnaryOp; readonly a: Expr; readonly type: Type }
  /**
   * Comparisons have type bool; otherwise the operands' common type. `rem`, `shl`, `shr`, `xor` are for u32 and index;
   * `and`, `or` for bool and u32. `div` of index and u32 floors.
   */
  | { readonly kind: "binary"; readonly op: BinaryOp; readonly a: Expr; readonly b: Expr; readonly type: Type }
  /** a * b + c, rounded once or twice as the target likes. f32 only. */
  | { readonly kind: "fma"; readonly a: Expr; readonly b: Expr; readonly c: Expr; readonly type: Type }
  | { readonly kind: "select"; readonly condition: Expr; readonly then: Expr; readonly else: Expr; readonly type: Type }
  /** Reads `type.lanes` consecutive words from `index`. */
  | { readonly kind: "load"; readonly from: string; readonly index: Expr; readonly type: Type }
  /** By value: index/u32/bool -> f32, f32 -> u32 (truncating), index <-> u32. Lanes stay. */
  | { readonly kind: "cast"; readonly a: Expr; readonly type: Type }
  /** Same bits: f32 <-> u32. */
  | { readonly kind: "bitcast"; readonly a: Expr; readonly type: Type }
  | { readonly kind: "splat"; readonly a: Expr; readonly type: Type }
  | { readonly kind: "lanes"; readonly items: readonly Expr[]; readonly type: Type }
  /** Some of the lanes of a, and of those of b, which are counted on from a's: as many as a has. */
  | {
      readonly kind: "shuffle";
      readonly a: Expr;
      readonly b: Expr;
      readonly order: readonly number[];
      readonly type: Type;
    }
  | { readonly kind: "extract"; readonly a: Expr; readonly lane: number; readonly type: Type }
  /**
   * The value of `a` in the invocation `lane` of the own cluster: `width` invocations (a power of two) that follow each
   * other in a workgroup and lie in one subgroup, whatever that one's size is. GPU kernels only; uniform control flow.
   */
  | { readonly kind: "exchange"; readonly a: Expr; readonly lane: Expr; readonly width: number; readonly type: Type };

/** Rows, columns and steps of a block of `tiles`. */
export const TILE = 32;

/** Where a panel begins in an array. */
export interface PanelAt {
  readonly of: string;
  readonly index: Expr;
}

/** A statement of a body. Names are in scope behind their declaration, inside of its block. */
export type Stmt =
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | { readonly kind: "var"; readonly name: string; readonly value: Expr }
  | { readonly kind: "assign"; readonly name: string; readonly value: Expr }
  | { readonly kind: "store"; readonly to: string; readonly index: Expr; readonly value: Expr }
  /**
   * The cache line of a word will be loaded, or stored to: it may be fetched now. Nothing depends on it, and the word
   * may lie outside of the buffer. CPU kernels only.
   */
  | { readonly kind: "prefetch"; readonly of: string; readonly index: Expr; readonly write: boolean }
  /**
   * Products of bf16 (`TILE` rows by `TILE` columns, summed in f32): to[index + line * r + c] becomes the sum over
   * `blocks` of `TILE` steps, or that much more where it `adds`. The panels are arrays of u32, whose words are two
   * values: the earlier step's in the lower half. For a block, that of `a` has 2 squares of 16 rows of 16 words along
   * the steps, one after the other; that of `b` has 2 squares of 16 pairs of steps of 16 words along the columns. CPU
   * kernels only.
   */
  | {
      readonly kind: "tiles";
      readonly to: string;
      readonly index: Expr;
      readonly line: number;
      readonly a: PanelAt;
      readonly b: PanelAt;
      readonly blocks: Expr;
      readonly adds: boolean;
    }
  /** for (name = 0 or from; name < to; name += step). `to` is evaluated once. */
  | {
      readonly kind: "for";
      readonly name: string;
      readonly from: Expr;
      readonly to: Expr;
      readonly step: number;
      readonly body: readonly Stmt[];
    }
  | { readonly kind: "if"; readonly condition: Expr; readonly then: readonly Stmt[]; readonly else: readonly Stmt[] }
  /** A private array of f32 or u32, `size` words, contents undefined at the start of each group. */
  | { readonly kind: "array"; readonly name: string; readonly of: "f32" | "u32"; readonly size: number }
  /** Memory shared by a workgroup (GPU kernels only), at the top of the body. */
  | { readonly kind: "shared"; readonly name: string; readonly of: "f32" | "u32"; readonly size: number }
  /**
   * All invocations of the workgroup meet, and see each other's shared stores, and with `storage` those to buffers (GPU
   * kernels only; uniform control flow).
   */
  | { readonly kind: "barrier"; readonly storage: boolean };
