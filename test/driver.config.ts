/**
 * What SwiftShader has not, on the machine's own Vulkan driver (VK_DRIVER_FILES names one of several): half precision,
 * and larger subgroups.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: dirname(dirname(fileURLToPath(import.meta.url))),
    include: ["test/e2e/half.test.ts", "test/schedule/skeletons/subgroups.test.ts"],
    pool: "forks",
    env: { MHC_OWN_DRIVER: "1" },
    testTimeout: 60_000,
  },
});
