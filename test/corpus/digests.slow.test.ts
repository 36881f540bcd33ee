/** Plans and kernels are what they were, byte for byte: every page on every device. */
import { expect, it } from "vitest";
import { checkDigests, SAME } from "../helpers/digests.js";

it("plans and kernels of all pages on all devices are what they were", async () => {
  expect(await checkDigests(), "`npm run -s digests > test/corpus/digests.txt` keeps what is meant").toBe(SAME);
}, 600_000);
