/** `mhc-lang/typescript` for resolvers that read no "exports" in package.json (Parcel, unless it is told to). */
export * from "./dist/codegen/typescript/emitter.js";
