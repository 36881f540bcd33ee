export * from "./dist/codegen/typescript/emitter.js";
