/** Reads images: an IDX file with its labels, or a folder of PNG files with a folder a class. */
import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { DataError } from "../errors.js";
import { bytesOfImage, type LabelledImages } from "../images.js";
import { decodePng } from "./png.js";
import { readIdx } from "./idx.js";
import { readBytes } from "./reading.js";

/** What a page says of images. */
export interface ImagesRequest {
  readonly name: string;
  readonly height: number;
  readonly width: number;
  /** 0: the page states none, and images are grey. */
  readonly channels: number;
  /** null: as many as there are. */
  readonly classes: number | null;
}

/** Images with the names of their classes. */
export interface ReadImages extends LabelledImages {
  readonly classes: readonly string[];
}

/** Names in order of reading: 2 before 10. */
const natural = new Intl.Collator("en", { numeric: true });

/** Whether a path is a folder. */
export const isFolder = (path: string): boolean => statSync(path).isDirectory();

/** The images of a folder with a folder of PNG files a class; names that begin with a dot are passed over. */
export async function readFolder(folder: string, request: ImagesRequest): Promise<ReadImages> {
  const listed = (path: string): string[] =>
    readdirSync(path)
      .filter((name) => !name.startsWith("."))
      .sort(natural.compare);
  const classes = listed(folder);
  const odd = classes.find((name) => !isFolder(join(folder, name)));
  if (odd !== undefined || classes.length === 0)
    throw new DataError(
      odd === undefined ? `${folder} is empty` : `${join(folder, odd)} stands beside the folders of classes`,
      `a folder of images has a folder a class: ${basename(folder)}/cat/1.png`,
    );
  const files = classes.flatMap((name, label) =>
    listed(join(folder, name)).map((file) => ({ path: join(folder, name, file), label })),
  );
  const size = bytesOfImage(request);
  const pixels = new Uint8Array(files.length * size);
  for (const [i, { path }] of files.entries()) {
    if (!/\.png$/i.test(path)) throw new DataError(`${path} is not named .png`, "images of a folder are PNG files");
    pixels.set(await readPng(path, request), i * size);
  }
  return { classes, pixels, labels: Uint32Array.from(files, ({ label }) => label) };
}

async function readPng(path: string, { height, width, channels }: ImagesRequest): Promise<Uint8Array> {
  const image = decodePng(await readBytes(path), path);
  if (image.height !== height || image.width !== width)
    throw new DataError(
      `${path} is ${image.height} pixels high and ${image.width} wide, and the page says ${height} and ${width}`,
      "make all images of one size, or change `height` and `width`",
    );
  const wanted = Math.max(1, channels);
  if (image.channels !== wanted)
    throw new DataError(
      `${path} has ${image.channels} channels, ` +
        `and the page ${channels ? `says ${channels}` : "states none, which is 1"}`,
      `write \`channels = ${image.channels}\`, or make the images anew`,
    );
  return image.bytes;
}

/**
 * The images of an IDX file. `labels`: the file of their labels; null takes the one that is named alike, with `labels`
 * in place of `images` and `idx1` in place of `idx3`.
 */
export async function readIdxImages(file: string, labels: string | null, request: ImagesRequest): Promise<ReadImages> {
  const { name, height, width, channels } = request;
  const { shape, bytes } = await readIdx(file);
  const [count = 0, ...image] = shape;
  const wanted = channels === 0 ? [height, width] : [height, width, channels];
  const isGrey = channels === 1 && image.length === 2 && image[0] === height && image[1] === width;
  if (!isGrey && image.join() !== wanted.join())
    throw new DataError(
      `the images of ${file} are [${image.join(", ")}], and the page says [${wanted.join(", ")}]`,
      "change `height`, `width` and `channels`",
    );
  const own = labels ?? labelsBeside(file);
  const read = await readIdx(own);
  if (read.shape.length !== 1 || read.shape[0] !== count)
    throw new DataError(`${own} has [${read.shape.join(", ")}] labels, and ${file} has ${count} images`);
  const most = read.bytes.reduce((largest, label) => Math.max(largest, label), 0);
  const classes = request.classes ?? most + 1;
  if (most >= classes) {
    const at = read.bytes.indexOf(most);
    throw new DataError(
      `image ${at} of ${own} has the label ${most}, and \`${name}\` has ${classes} classes, 0 to ${classes - 1}`,
      `write \`classes = ${most + 1}\``,
    );
  }
  return { classes: Array.from({ length: classes }, (_, i) => `${i}`), pixels: bytes, labels: read.bytes };
}

function labelsBeside(file: string): string {
  const named = basename(file)
    .replace("images", "labels")
    .replace(/idx[34]/, "idx1");
  if (named !== basename(file)) return join(file, "..", named);
  throw new DataError(`the labels of ${file} are not named`, 'name their file: `labels = "t10k-labels-idx1-ubyte"`');
}
