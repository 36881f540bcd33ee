/**
 * Words that mean something to a target, to JavaScript's objects or to this house, and strings of all that text
 * may be made of.
 */
import fc from "fast-check";
import { ts } from "ts-morph";

const split = (words: string): string[] => words.trim().split(/\s+/);

/** Keywords of TypeScript and JavaScript, as the compiler lists them. */
export const typescriptWords: readonly string[] = Array.from(
  { length: ts.SyntaxKind.LastKeyword - ts.SyntaxKind.FirstKeyword + 1 },
  (_, i) => ts.tokenToString(ts.SyntaxKind.FirstKeyword + i)!,
);

/** What every object has, and what becomes of modules in CommonJS. */
export const objectWords: readonly string[] = [
  ...Object.getOwnPropertyNames(Object.prototype),
  ...split(
    "then prototype name length apply call caller arguments callee eval exports require module __esModule " +
      "__dirname __filename",
  ),
];

const wgsl = split(`
  alias array atomic bitcast bool break case const const_assert continue continuing default diagnostic discard
  else enable f16 f32 false fn for fragment if i32 let loop mat2x2
  mat4x4f offsets override ptr read_write requires return sampler storage struct switch texture_2d true u32
  uniform var vec2 vec4 vec4f vertex while workgroup
  workgroupBarrier NULL Self active asm coherent cbuffer compile demote filter groupshared inline layout lowp
  macro meta mut namespace noexcept nil operator
  partition pass precise priv pub regardless resource self shared sizeof smooth std subroutine target template
  unorm unsafe unsized where wgsl work state ints out half
`);
const wat = split(
  "module func param result local global memory table elem data start type import export mut offset block loop " +
    "end br br_if br_table call drop select unreachable nop i32 i64 f32 f64 v128 funcref externref shared",
);
const c = split(`
  auto char double extern float goto int long register restrict short signed sizeof struct typedef union unsigned
  volatile inline _Bool _Complex _Imaginary _Alignas _Atomic
  _Generic _Noreturn _Static_assert _Thread_local __asm__ __attribute__ __restrict errno main NAN INFINITY NULL
  EOF stdin exp exp2 j0 y0 y1 gamma signgam
`);
/** What the entries, states and checkpoints of a plan are called by. */
const house = split(
  "step seed losses norm logits gates scale unit m v batch dims names plan load model device parameters " +
    "checkpoint safetensors format metadata kept state work constraint adapted gradient cotangent monitor",
);
const shapes = split(
  "_ __ ___ a A aa aA Aa _0 a_ x1 X1 __defineGetter__ __lookupSetter__ NaN Infinity undefined globalThis window " +
    "self console process Buffer null_ con nul aux prn com1 lpt1",
);

/** Globals of the language; those of hosts are many, and nothing in a module is called by them. */
const KINDS =
  "Array Error Map Set Ref Object Promise Symbol Function Number String Boolean Date JSON Math Proxy Reflect URL";
const globals = Object.getOwnPropertyNames(globalThis).filter(
  (name) => /^[A-Z]\w*$/.test(name) && KINDS.split(" ").some((kind) => name.endsWith(kind)),
);

/** All of them that have the form of a name. */
export const words: readonly string[] = [
  ...new Set([...objectWords, ...typescriptWords, ...globals, ...wgsl, ...wat, ...c, ...house, ...shapes]),
].filter((word) => /^[A-Za-z_]\w*$/.test(word));

const PIECES = [
  "__proto__",
  "constructor",
  "toString",
  "*/",
  "/*",
  "//",
  "${",
  "`",
  '"',
  "'",
  "\\",
  "\u2028",
  "\u2029",
  "\u202e",
  "\u0085",
  "</script>",
  "<!--",
  "-->",
  "\0",
  "\u0007",
  "\ud800",
  "\udfff",
  "\r",
  "\t",
  "\v",
  "\ufeff",
  "é",
  "e\u0301",
  "ﬁ",
  "Ω",
  "Ω",
  "名",
  "😀",
  "$",
  "#",
  "@",
  "%",
  "{",
  "}",
  "(",
  ")",
  "[",
  "]",
  ";",
  ",",
  "=",
  "~",
  "..",
  "0",
  "1e9",
  "_",
  " ",
  "a",
  "Z",
];
const piece = fc.oneof(
  fc.constantFrom(...PIECES),
  fc.string({ unit: "binary", maxLength: 4 }),
  fc.string({ unit: "grapheme", maxLength: 3 }),
  fc.constantFrom(...words),
);

/** Random strings of one line: mixtures of what is special, and names. */
export const strings = (count: number, seed: number): string[] =>
  fc
    .sample(
      fc.oneof(
        { weight: 2, arbitrary: fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join("")) },
        { weight: 1, arbitrary: fc.stringMatching(/^[A-Za-z_]\w{0,12}$/) },
      ),
      { numRuns: count, seed },
    )
    .map((text) => text.replaceAll("\n", ""));
