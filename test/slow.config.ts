/** `npm run test:all`: what `npm test` leaves out. */
import { defineConfig } from "vitest/config";
import quick from "./vitest.config.js";

export default defineConfig({
  ...quick,
  test: { ...quick.test, include: ["test/**/*.slow.test.ts"], exclude: [] },
});
