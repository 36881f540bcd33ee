/** Inputs for the generated tests; `mhc target-test` draws the same. */
export * from "../../src/tools/conformance/cases.js";
