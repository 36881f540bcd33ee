/**
 * Kernels as C: a target of one's own. `mhc compile SPEC --target ./kernels.js` hands it the kernels of a CPU with one
 * lane, and it prints each as a function of the pools, the offsets of its buffers and a range of groups. A printer
 * decides nothing: the loops, the order of sums and the places in memory are in the kernel already, so that this file
 * is a walk over the tree of statements and expressions (`ir` of mhc-lang).
 */

const TYPES = { f32: "float", u32: "uint32_t", index: "int32_t", bool: "bool" };

/** No name of a kernel ends with an underscore, so none becomes a word of C, nor of the text below. */
const name = (word) => `${word.replace(/\W/g, "_")}_`;

const HEAD = `#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct { float *state, *work, *out; uint32_t *ints; } Pools;

/* Unlike fminf and fmaxf, these keep what is not a number. */
static inline float min_f32(float a, float b) { return a < b || a != a ? a : b; }
static inline float max_f32(float a, float b) { return a > b || a != a ? a : b; }
static inline float bits_f32(uint32_t a) { float b; memcpy(&b, &a, 4); return b; }
static inline uint32_t bits_u32(float a) { uint32_t b; memcpy(&b, &a, 4); return b; }
`;

function constant(value, of) {
  if (of === "bool") return String(value !== 0);
  if (of === "u32") return `${value}u`;
  if (of === "index") return String(value);
  if (Number.isNaN(value)) return "NAN";
  if (!Number.isFinite(value)) return value > 0 ? "INFINITY" : "(-INFINITY)";
  const digits = /[.e]/.test(String(value)) ? String(value) : `${value}.0`;
  return value < 0 || Object.is(value, -0) ? `(-${digits.replace("-", "")}f)` : `${digits}f`;
}

function unary(op, a, of) {
  if (op === "neg") return `(-${a})`;
  if (op === "not") return `(!${a})`;
  if (op === "abs" && of !== "f32") return a;
  return op === "abs" ? `fabsf(${a})` : `${op}f(${a})`;
}

const SIGNS = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  lt: "<",
  le: "<=",
  eq: "==",
  ne: "!=",
  xor: "^",
  shl: "<<",
  shr: ">>",
};

function binary(op, a, b, of) {
  if (op === "pow") return `powf(${a}, ${b})`;
  if (op === "min" || op === "max")
    return of === "f32" ? `${op}_f32(${a}, ${b})` : `(${a} ${op === "min" ? "<" : ">"} ${b} ? ${a} : ${b})`;
  if (op === "and") return of === "bool" ? `(${a} && ${b})` : `(${a} & ${b})`;
  if (op === "or") return of === "bool" ? `(${a} || ${b})` : `(${a} | ${b})`;
  return `(${a} ${SIGNS[op]} ${b})`;
}

function printKernel(kernel, i) {
  const pools = new Map(kernel.buffers.map((buffer) => [buffer.name, buffer.pool]));
  const place = (of, index) =>
    pools.has(of) ? `pools->${pools.get(of)}[${name(of)} + ${expr(index)}]` : `${name(of)}[${expr(index)}]`;

  function expr(e) {
    switch (e.kind) {
      case "const":
        return constant(e.value, e.type.of);
      case "ref":
        return name(e.name);
      case "unary":
        return unary(e.op, expr(e.a), e.a.type.of);
      case "binary":
        return binary(e.op, expr(e.a), expr(e.b), e.a.type.of);
      case "fma":
        return `(${expr(e.a)} * ${expr(e.b)} + ${expr(e.c)})`;
      case "select":
        return `(${expr(e.condition)} ? ${expr(e.then)} : ${expr(e.else)})`;
      case "load":
        return place(e.from, e.index);
      case "cast":
        return `((${TYPES[e.type.of]})${expr(e.a)})`;
      case "bitcast":
        return `bits_${e.type.of}(${expr(e.a)})`;
      default:
        // Four lanes and values of other invocations are for profiles that ask for them; this one does not.
        throw new Error(`the C target takes kernels of a CPU with one lane, which have no ${e.kind}`);
    }
  }

  const block = (statements, indent) => statements.map((s) => statement(s, indent)).join("\n");

  function statement(s, indent) {
    switch (s.kind) {
      case "let":
        return `${indent}const ${TYPES[s.value.type.of]} ${name(s.name)} = ${expr(s.value)};`;
      case "var":
        return `${indent}${TYPES[s.value.type.of]} ${name(s.name)} = ${expr(s.value)};`;
      case "assign":
        return `${indent}${name(s.name)} = ${expr(s.value)};`;
      case "store":
        return `${indent}${place(s.to, s.index)} = ${expr(s.value)};`;
      case "array":
        return `${indent}${TYPES[s.of]} ${name(s.name)}[${s.size}];`;
      case "for": {
        const counter = name(s.name);
        const head = `int32_t ${counter} = ${expr(s.from)}, ${counter}end = ${expr(s.to)}`;
        return [
          `${indent}for (${head}; ${counter} < ${counter}end; ${counter} += ${s.step}) {`,
          block(s.body, `${indent}  `),
          `${indent}}`,
        ].join("\n");
      }
      case "if":
        return [
          `${indent}if (${expr(s.condition)}) {`,
          block(s.then, `${indent}  `),
          ...(s.else.length ? [`${indent}} else {`, block(s.else, `${indent}  `)] : []),
          `${indent}}`,
        ].join("\n");
      default:
        throw new Error(`the C target takes kernels of a CPU, which have no ${s.kind}`);
    }
  }

  return [
    `/* ${kernel.name}: ${kernel.groups} groups */`,
    `void k${i}(const Pools *pools, const uint32_t *offsets, int32_t begin, int32_t end) {`,
    ...kernel.buffers.map((buffer, slot) => `  const uint32_t ${name(buffer.name)} = offsets[${slot}];`),
    `  for (int32_t ${name("group")} = begin; ${name("group")} < end; ${name("group")}++) {`,
    block(kernel.body, "    "),
    "  }",
    "}",
  ].join("\n");
}

/** @type {import("mhc-lang").KernelPrinter} */
export default {
  kind: "kernels",
  name: "c",
  profile: { kind: "cpu", lanes: 1, workgroup: 1 },
  print: async (kernels) => ({ kind: "other", text: [HEAD, ...kernels.map(printKernel)].join("\n") }),
  files: (stem, code) => [{ path: `${stem}.c`, content: `${code.text}\n` }],
};
