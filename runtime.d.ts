export * from "./dist/runtime/web/index.js";
