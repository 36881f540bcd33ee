/**
 * What stands before kernels in C: the vector types, and functions for operations that C has no operator for. All of
 * them are `static inline` and of a line or two; loops over lanes become single instructions (measured: GCC 12 and
 * Clang 14 at -O2, where the processor has them).
 */
import type { Lanes, Type } from "../../src/kernel/ir.js";
import { suffixOf, typeName } from "./types.js";

const HEAD = `#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
/* Vectors wider than the processor's pass from function to function, all of them static: no ABI is concerned. */
#pragma GCC diagnostic ignored "-Wpsabi"
#endif
#define INLINE static inline __attribute__((unused))
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(mask, a, b, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
#endif

INLINE float bits_f32(uint32_t a) { float b; memcpy(&b, &a, 4); return b; }
INLINE uint32_t bits_u32(float a) { uint32_t b; memcpy(&b, &a, 4); return b; }
INLINE ptrdiff_t min_index(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t max_index(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
INLINE uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
/* Unlike fminf and fmaxf, these keep what is not a number. */
INLINE float min_f32(float a, float b) { return a < b || a != a ? a : b; }
INLINE float max_f32(float a, float b) { return a > b || a != a ? a : b; }
/* The same where the second is known to be a number, which is one instruction. */
INLINE float atmost_f32(float a, float b) { return b < a ? b : a; }
INLINE float atleast_f32(float a, float b) { return b > a ? b : a; }
INLINE float abs_f32(float a) { return __builtin_fabsf(a); }
INLINE float sqrt_f32(float a) { return __builtin_sqrtf(a); }
INLINE float floor_f32(float a) { return __builtin_floorf(a); }`;

const repeated = (text: string, lanes: Lanes): string => Array.from({ length: lanes }, () => text).join(", ");

/** A function whose result is computed lane by lane. */
const eachLane = (name: string, type: Type, parameters: string, value: string): string => {
  const t = typeName(type);
  const loop = `for (int l = 0; l < ${type.lanes}; l++) r[l] = ${value};`;
  return `INLINE ${t} ${name}_${t}(${parameters}) { ${t} r = a; ${loop} return r; }`;
};

/** What a vector's lanes are. */
const ELEMENTS = { f32: "float", u32: "uint32_t", bool: "int32_t" } as const;

/** The types and functions of vectors of that many lanes. */
function vectors(lanes: Lanes): string[] {
  const bytes = 4 * lanes;
  const types = (["f32", "u32", "bool"] as const).map((of) => ({ of, lanes }));
  const mask = typeName({ of: "bool", lanes });
  return [
    "",
    ...types.flatMap((type) => {
      const t = typeName(type);
      const element = ELEMENTS[type.of];
      return [
        `typedef ${element} ${t} __attribute__((vector_size(${bytes})));`,
        // As it lies in memory: at any word, and of words that are accessed singly too.
        `typedef ${element} ${t}_words __attribute__((vector_size(${bytes}), aligned(4), may_alias));`,
      ];
    }),
    ...types.flatMap((type) => {
      const t = typeName(type);
      return [
        `INLINE ${t} splat_${t}(${ELEMENTS[type.of]} x) { return (${t}){${repeated("x", lanes)}}; }`,
        `INLINE ${t} select_${t}(${mask} m, ${t} a, ${t} b) { return (${t})((m & (${mask})a) | (~m & (${mask})b)); }`,
      ];
    }),
    ...(["f32", "u32"] as const).map(
      (of) =>
        `INLINE ${typeName({ of, lanes })} load_${typeName({ of, lanes })}(const ${ELEMENTS[of]} *p) ` +
        `{ return *(const ${typeName({ of, lanes })}_words *)p; }`,
    ),
    ...(["f32", "u32"] as const).map(
      (of) =>
        `INLINE void store_${typeName({ of, lanes })}(${ELEMENTS[of]} *p, ${typeName({ of, lanes })} v) ` +
        `{ *(${typeName({ of, lanes })}_words *)p = v; }`,
    ),
    ...(["f32", "u32"] as const).flatMap((of) => {
      const type: Type = { of, lanes };
      const t = typeName(type);
      const keeps = of === "f32" ? " || a[l] != a[l]" : "";
      return [
        eachLane("min", type, `${t} a, ${t} b`, `a[l] < b[l]${keeps} ? a[l] : b[l]`),
        eachLane("max", type, `${t} a, ${t} b`, `a[l] > b[l]${keeps} ? a[l] : b[l]`),
      ];
    }),
    eachLane("atmost", { of: "f32", lanes }, `f32x${lanes} a, f32x${lanes} b`, "b[l] < a[l] ? b[l] : a[l]"),
    eachLane("atleast", { of: "f32", lanes }, `f32x${lanes} a, f32x${lanes} b`, "b[l] > a[l] ? b[l] : a[l]"),
    ...(["fabs", "sqrt", "floor"] as const).map((op) =>
      eachLane(op === "fabs" ? "abs" : op, { of: "f32", lanes }, `f32x${lanes} a`, `__builtin_${op}f(a[l])`),
    ),
  ];
}

/** The text for kernels whose vectors have `lanes` lanes at most. */
export const prelude = (lanes: Lanes): string =>
  [HEAD, ...([4, 8, 16] as const).filter((width) => width <= lanes).flatMap(vectors)].join("\n");

/** The name of the function of an operation for a type: `min_f32x8`. */
export const helperName = (op: string, type: Type): string => `${op}_${suffixOf(type)}`;
