/**
 * Images of one size as batches. A byte of a channel is a number from 0 to 1; pixels are kept as bytes, and made
 * numbers when a batch is put together.
 */
import { describe } from "./check.js";
import type { Source } from "./data.js";
import { DataError } from "./errors.js";
import { rowsSource } from "./rows.js";
import type { ImagesInfo } from "./sources.js";

/** Images and their classes. */
export interface LabelledImages {
  /** Bytes, row-major: [count, height, width] or, where the page states channels, [count, height, width, channels]. */
  readonly pixels: Uint8Array;
  /** The class of each, by its place among `ImagesInfo.classes`. */
  readonly labels: ArrayLike<number>;
}

/** Bytes of an image. */
export const bytesOfImage = ({ height, width, channels }: Pick<ImagesInfo, "height" | "width" | "channels">): number =>
  height * width * Math.max(1, channels);

/**
 * Batches of `NAME.value`, [batch, height, width] or [batch, height, width, channels], and `NAME.label`, [batch].
 * Throws DataError for pixels that are no whole images, and for labels that are not as many or not of the classes.
 */
export function imagesSource(info: ImagesInfo, { pixels, labels }: LabelledImages): Source {
  const { name, classes } = info;
  if (!(pixels instanceof Uint8Array))
    throw new DataError(`the pixels of \`${name}\` are ${describe(pixels)}, and a Uint8Array is expected`);
  const size = bytesOfImage(info);
  const count = labels.length;
  if (pixels.length !== count * size)
    throw new DataError(
      `\`${name}\` has ${pixels.length} bytes of pixels, and ${count} images of ${size} bytes take ${count * size}`,
    );
  const wrong = Array.from(labels).findIndex(
    (label) => !(Number.isInteger(label) && label >= 0 && label < classes.length),
  );
  if (wrong >= 0)
    throw new DataError(
      `image ${wrong} of \`${name}\` has the label ${labels[wrong]}, ` +
        `and there are ${classes.length} classes, 0 to ${classes.length - 1}`,
    );
  return rowsSource(
    info,
    count,
    [
      { name: "value", size, values: pixels },
      { name: "label", size: 1, values: Uint32Array.from(labels) },
    ],
    "images",
  );
}
