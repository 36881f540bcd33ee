/**
 * The compiler's front door in Node: `import { check, compile } from "mhc-lang"`. A page's is `library.ts`. The
 * runtime's is `mhc-lang/runtime`.
 *
 * @module mhc-lang
 */
export * from "./library.js";
export { typescript } from "../codegen/typescript/emitter.js";
