/** Images: PNG files by an encoder of its own and one of another's making, IDX files, folders, and what is refused. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { crc32, deflateSync, gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { imagesSource } from "../../runtime/images.js";
import { decodePng } from "../../runtime/node/png.js";
import { readData, sourceFrom, type Loaded } from "../../runtime/node/sources.js";
import type { ImagesInfo } from "../../runtime/sources.js";

const folder = mkdtempSync(join(tmpdir(), "mhc images "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const put = (path: string, content: Uint8Array): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
};

const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

interface Written {
  readonly width: number;
  readonly height: number;
  readonly depth?: number;
  readonly type: number;
  /** Bytes of all rows, packed. */
  readonly rows: readonly (readonly number[])[];
  /** The filter of each row; 0 when it does not say. */
  readonly filters?: readonly number[];
  readonly palette?: readonly number[];
  readonly alpha?: readonly number[];
  readonly interlaced?: number;
}

const chunk = (name: string, data: readonly number[]): number[] => {
  const named = [...Buffer.from(name), ...data];
  return [...u32(data.length), ...named, ...u32(crc32(Uint8Array.from(named)))];
};

const BYTES_A_PIXEL: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** A row as its filter stores it: the definitions of the standard, section 9.2. */
function filtered(row: readonly number[], above: readonly number[], filter: number, step: number): number[] {
  return row.map((value, x) => {
    const [a, b, c] = [row[x - step] ?? 0, above[x] ?? 0, x >= step ? (above[x - step] ?? 0) : 0];
    const p = a + b - c;
    const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
    const paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    return (value - [0, a, b, Math.floor((a + b) / 2), paeth][filter]! + 256) & 255;
  });
}

function png({
  width,
  height,
  depth = 8,
  type,
  rows,
  filters = [],
  palette,
  alpha,
  interlaced = 0,
}: Written): Uint8Array {
  const raw = rows.flatMap((row, y) => [
    filters[y] ?? 0,
    ...filtered(row, rows[y - 1] ?? [], filters[y] ?? 0, BYTES_A_PIXEL[type]!),
  ]);
  const stored = [...deflateSync(Uint8Array.from(raw))];
  const half = stored.length >> 1;
  return Uint8Array.from([
    0x89,
    ...Buffer.from("PNG\r\n"),
    0x1a,
    0x0a,
    ...chunk("IHDR", [...u32(width), ...u32(height), depth, type, 0, 0, interlaced]),
    ...(palette ? chunk("PLTE", palette) : []),
    ...(alpha ? chunk("tRNS", alpha) : []),
    ...chunk("IDAT", stored.slice(0, half)),
    ...chunk("IDAT", stored.slice(half)),
    ...chunk("IEND", []),
  ]);
}

/** Rows of bytes that look like nothing. */
const noise = (height: number, length: number): number[][] =>
  Array.from({ length: height }, (_, y) => Array.from({ length }, (__, x) => (x * 37 + y * 101 + x * y * 7) % 256));

describe("PNG", () => {
  it.each([
    ["grey", 0, 1],
    ["RGB", 2, 3],
    ["grey with alpha", 4, 2],
    ["RGBA", 6, 4],
  ])("%s, by each filter", (_, type, channels) => {
    const rows = noise(5, 3 * channels);
    const image = decodePng(png({ width: 3, height: 5, type, rows, filters: [0, 1, 2, 3, 4] }), "x.png");
    expect(image).toMatchObject({ width: 3, height: 5, channels });
    expect([...image.bytes]).toEqual(rows.flat());
    // The first row has nothing above it.
    for (const filter of [1, 2, 3, 4])
      expect([
        ...decodePng(png({ width: 3, height: 5, type, rows, filters: Array<number>(5).fill(filter) }), "x").bytes,
      ]).toEqual(rows.flat());
  });

  it("grey of 1, 2 and 4 bits, from 0 to 255", () => {
    expect([...decodePng(png({ width: 5, height: 1, depth: 1, type: 0, rows: [[0b10110_000]] }), "x").bytes]).toEqual([
      255, 0, 255, 255, 0,
    ]);
    expect([...decodePng(png({ width: 3, height: 1, depth: 2, type: 0, rows: [[0b00011011]] }), "x").bytes]).toEqual([
      0, 85, 170,
    ]);
    expect([...decodePng(png({ width: 3, height: 1, depth: 4, type: 0, rows: [[0x1f, 0x80]] }), "x").bytes]).toEqual([
      17, 255, 136,
    ]);
  });

  it("palettes, with and without transparent colours", () => {
    const palette = [10, 20, 30, 40, 50, 60];
    const rows = [[1, 0]];
    expect(decodePng(png({ width: 2, height: 1, type: 3, rows, palette }), "x")).toMatchObject({
      channels: 3,
      bytes: Uint8Array.of(40, 50, 60, 10, 20, 30),
    });
    expect([...decodePng(png({ width: 2, height: 1, type: 3, rows, palette, alpha: [7] }), "x").bytes]).toEqual([
      40, 50, 60, 255, 10, 20, 30, 7,
    ]);
    expect([...decodePng(png({ width: 2, height: 1, depth: 4, type: 3, rows: [[0x10]], palette }), "x").bytes]).toEqual(
      [40, 50, 60, 10, 20, 30],
    );
  });

  it("of another program's making", () => {
    const red = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
    const image = decodePng(Buffer.from(red, "base64"), "red.png");
    expect([image.width, image.height, image.channels]).toEqual([1, 1, 4]);
  });

  const plain = { width: 2, height: 2, type: 0, rows: noise(2, 2) };
  it.each<readonly [string, Uint8Array, string]>([
    ["a JPEG", Uint8Array.of(0xff, 0xd8, 0xff), "x.png is not a PNG image"],
    ["interlaced ones", png({ ...plain, interlaced: 1 }), "x.png is interlaced, which is not read"],
    ["16 bits", png({ ...plain, depth: 16, rows: noise(2, 4) }), "x.png has 16 bits a sample, which are not read"],
    ["a file that breaks off", png(plain).subarray(0, 60), "x.png breaks off"],
    ["rows that are missing", png({ ...plain, rows: noise(1, 2) }), "x.png breaks off before its last row"],
    ["a damaged file", png(plain).map((byte, i) => (i === 17 ? byte ^ 1 : byte)), "a checksum does not agree"],
    [
      "a colour that is not there",
      png({
        ...plain,
        type: 3,
        rows: [
          [0, 9],
          [0, 0],
        ],
        palette: [1, 2, 3],
      }),
      "has a pixel of colour 9",
    ],
  ])("%s are refused", (_, file, message) => expect(() => decodePng(file, "x.png")).toThrow(message));
});

const idx = (shape: readonly number[], bytes: readonly number[], type = 8): Uint8Array =>
  Uint8Array.from([0, 0, type, shape.length, ...shape.flatMap(u32), ...bytes]);

const read = (location: string, sizes: Readonly<Record<string, number>>, labels?: string): Promise<Loaded> =>
  readData(
    { name: "images", kind: "images", location, holdout: 0.5, sizes, settings: labels === undefined ? {} : { labels } },
    folder,
  );
const square = { height: 2, width: 2 };

/** Values and labels of all examples, as numbers. */
function all(loaded: Loaded, info: Partial<ImagesInfo> = {}): (readonly [number[], number])[] {
  if (loaded.kind !== "images") throw new Error(loaded.kind);
  const of: ImagesInfo = {
    kind: "images",
    name: "images",
    location: "",
    holdout: 0.5,
    channels: 0,
    ...square,
    classes: loaded.facts.labels,
    ...info,
  };
  const source = sourceFrom(of, loaded);
  const rows = new Map<string, readonly [number[], number]>();
  const batches = [
    ...source.holdout(1),
    ...Array.from({ length: 20 }, (_, step) => ({ batch: source.batch(1, 1, step) })),
  ];
  for (const { batch } of batches) {
    const row = [
      [...batch["images.value"]!].map((value) => Math.round(255 * value)),
      batch["images.label"]![0]!,
    ] as const;
    rows.set(JSON.stringify(row), row);
  }
  return [...rows.values()].sort((a, b) => a[0][0]! - b[0][0]!);
}

describe("IDX files", () => {
  const pixels = [10, 20, 30, 40, 50, 60, 70, 80];
  put("train-images-idx3-ubyte", idx([2, 2, 2], pixels));
  put("train-labels-idx1-ubyte", idx([2], [1, 0]));
  put("z/t-images-idx3-ubyte.gz", gzipSync(idx([2, 2, 2], pixels)));
  put("z/t-labels-idx1-ubyte.gz", gzipSync(idx([2], [1, 0])));

  it.each(["train-images-idx3-ubyte", "z/t-images-idx3-ubyte.gz"])("%s, with the labels beside it", async (file) => {
    const loaded = await read(file, square);
    expect(loaded.facts).toEqual({ labels: ["0", "1"] });
    expect(all(loaded)).toEqual([
      [pixels.slice(0, 4), 1],
      [pixels.slice(4), 0],
    ]);
  });

  it("with labels that the page names, and more classes than labels", async () => {
    put("own.idx", idx([2, 2, 2], pixels));
    put("own-labels.idx", idx([2], [3, 0]));
    const loaded = await read("own.idx", { ...square, classes: 5 }, "own-labels.idx");
    expect(loaded.facts).toEqual({ labels: ["0", "1", "2", "3", "4"] });
    await expect(read("own.idx", square)).rejects.toThrow("the labels of");
    await expect(read("own.idx", { ...square, classes: 2 }, "own-labels.idx")).rejects.toThrow(
      "has the label 3, and `images` has 2 classes, 0 to 1",
    );
  });

  it("with channels", async () => {
    put("rgb-images-idx4-ubyte", idx([2, 1, 1, 3], [1, 2, 3, 4, 5, 6]));
    put("rgb-labels-idx1-ubyte", idx([2], [0, 1]));
    const sizes = { height: 1, width: 1, channels: 3 };
    expect(all(await read("rgb-images-idx4-ubyte", sizes), sizes)).toEqual([
      [[1, 2, 3], 0],
      [[4, 5, 6], 1],
    ]);
  });

  it.each<readonly [string, Uint8Array, string]>([
    ["another size", idx([2, 4, 1], pixels), "are [4, 1], and the page says [2, 2]"],
    ["another type", idx([2, 2, 2], pixels, 13), "holds values of the IDX type 13, and bytes (type 8) are expected"],
    ["missing bytes", idx([2, 2, 2], pixels.slice(1)), "says that it holds [2, 2, 2], which is 8 bytes, and it has 7"],
    ["text", Buffer.from("hello"), "is not an IDX file"],
  ])("of %s are refused", async (_, file, message) => {
    put("bad-images-idx3-ubyte", file);
    await expect(read("bad-images-idx3-ubyte", square)).rejects.toThrow(message);
  });
});

describe("folders of PNG files", () => {
  const grey = (bytes: number[]): Uint8Array =>
    png({ width: 2, height: 2, type: 0, rows: [bytes.slice(0, 2), bytes.slice(2)] });
  put("pets/dog/1.png", grey([50, 60, 70, 80]));
  put("pets/cat/10.png", grey([30, 30, 30, 30]));
  put("pets/cat/2.png", grey([10, 20, 30, 40]));
  put("pets/cat/.hidden", Uint8Array.of(1));

  it("have a folder a class", async () => {
    const loaded = await read("pets", square);
    expect(loaded.facts).toEqual({ labels: ["cat", "dog"] });
    expect(all(loaded)).toEqual([
      [[10, 20, 30, 40], 0],
      [[30, 30, 30, 30], 0],
      [[50, 60, 70, 80], 1],
    ]);
  });

  it.each<readonly [string, string, Uint8Array, Readonly<Record<string, number>>, string]>([
    [
      "an image of another size",
      "a/cat/1.png",
      grey([1, 2, 3, 4]),
      { height: 3, width: 2 },
      "1.png is 2 pixels high and 2 wide, and the page says 3 and 2",
    ],
    [
      "other channels",
      "b/cat/1.png",
      grey([1, 2, 3, 4]),
      { ...square, channels: 3 },
      "1.png has 1 channels, and the page says 3",
    ],
    ["a JPEG", "c/cat/1.jpg", grey([1, 2, 3, 4]), square, "1.jpg is not named .png"],
    ["images beside the classes", "d/1.png", grey([1, 2, 3, 4]), square, "1.png stands beside the folders of classes"],
  ])("with %s are refused", async (_, path, file, sizes, message) => {
    put(path, file);
    await expect(read(path.split("/")[0]!, sizes)).rejects.toThrow(message);
  });
});

it("labels of no class, and pixels of no whole image are refused", () => {
  const info: ImagesInfo = {
    kind: "images",
    name: "i",
    location: "",
    holdout: 0.5,
    channels: 0,
    ...square,
    classes: ["a", "b"],
  };
  expect(() => imagesSource(info, { pixels: new Uint8Array(8), labels: [0, 2] })).toThrow(
    "image 1 of `i` has the label 2",
  );
  expect(() => imagesSource(info, { pixels: new Uint8Array(7), labels: [0, 1] })).toThrow(
    "7 bytes of pixels, and 2 images of 4 bytes take 8",
  );
});
