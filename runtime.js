/** `mhc-lang/runtime` for resolvers that read no "exports" in package.json (Parcel, unless it is told to). */
export * from "./dist/runtime/web/index.js";
