/**
 * Names that a kernel may not have in WGSL: its keywords and reserved words, the built-in functions that are printed,
 * and what print.ts declares.
 */
import { renamer } from "../../src/kernel/literals.js";

const KEYWORDS =
  "alias break case const const_assert continue continuing default diagnostic discard else enable false fn " +
  "for if let loop override requires return " +
  "struct switch true var while";

const RESERVED =
  "NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become " +
  "binding_array cast catch class co_await co_return " +
  "co_yield coherent column_major common compile compile_fragment concept const_cast consteval constexpr " +
  "constinit crate debugger decltype delete " +
  "demote demote_to_helper do dynamic_cast enum explicit export extends extern external fallthrough filter " +
  "final finally friend from fxgroup get goto " +
  "groupshared highp impl implements import inline instanceof interface layout lowp macro macro_rules match " +
  "mediump meta mod module move mut mutable " +
  "namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null nullptr of " +
  "operator package packoffset partition " +
  "pass patch pixelfragment precise precision premerge priv protected pub public readonly ref regardless " +
  "register reinterpret_cast require resource " +
  "restrict self set shared sizeof smooth snorm static static_assert static_cast std subroutine super target " +
  "template this thread_local throw trait try " +
  "type typedef typeid typename typeof union unless unorm unsafe unsized use using varying virtual volatile " +
  "wgsl where with writeonly yield";

const BUILT_IN =
  "array vec3 vec4 f16 f32 u32 i32 bool abs bitcast clamp exp floor log max min select sqrt tanh " +
  "workgroupBarrier read read_write storage uniform";

/** Pools, the helper functions and main's parameters. */
const DECLARED = "state work ints out half offsets erf sine cosine main group local workgroup";

/** The name of a kernel's value in WGSL: another one where it is a word of the language or of the module. */
export const rename = renamer(new Set([KEYWORDS, RESERVED, BUILT_IN, DECLARED].join(" ").split(" ")));
