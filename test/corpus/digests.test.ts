/** Plans and kernels are what they were, byte for byte: one of each kind of page and device. */
import { expect, it } from "vitest";
import { checkDigests, SAME } from "../helpers/digests.js";

it("plans and kernels of one page of each kind are what they were", async () => {
  expect(await checkDigests("--quick"), "`npm run -s digests > test/corpus/digests.txt` keeps what is meant").toBe(
    SAME,
  );
}, 120_000);
