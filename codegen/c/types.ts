/**
 * The types of C that stand for those of the kernel IR. Vectors are the extension that GCC and Clang share
 * (`vector_size`): a compiler turns one that is wider than its processor's registers into several. A truth value in a
 * vector is a word of ones or of zeros, which is what comparisons make.
 */
import type { Type } from "../../src/kernel/ir.js";
import { renamer } from "../../src/kernel/literals.js";

const SCALARS = { f32: "float", u32: "uint32_t", index: "ptrdiff_t", bool: "bool" } as const;
const VECTORS = { f32: "f32", u32: "u32", bool: "i32", index: null } as const;

/** The name of a type. Throws an Error for a vector of indices, which no kernel has. */
export function typeName({ of, lanes }: Type): string {
  if (lanes === 1) return SCALARS[of];
  const element = VECTORS[of];
  if (element === null) throw new Error("codegen: C kernels have no vectors of indices");
  return `${element}x${lanes}`;
}

/** What helper functions for a type are called by: `f32` or `f32x8`, `i32x8` for truth values. */
export const suffixOf = ({ of, lanes }: Type): string =>
  lanes === 1 ? (of === "bool" ? "b1" : of) : typeName({ of, lanes });

/** Words of C and of what the kernels include, and what the text around them names. */
const rename = renamer(
  new Set(
    (
      "auto bool break case char const continue default do double else enum extern false float for goto if inline " +
      "int long register restrict return short signed sizeof static struct switch true typedef union unsigned void " +
      "volatile while asm typeof linux unix " +
      "begin end buffers scratch ptrdiff_t int32_t uint32_t NAN INFINITY NULL"
    ).split(" "),
  ),
);

/** A name of a kernel as a name of C. */
export const nameOf = (name: string): string => (name === "group" ? name : rename(name));
