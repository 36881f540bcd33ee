/** Reads tar archives of plain files, which the dev dependencies keep their binaries in. */

/** Files by name, folders left out; enough of the format for an archive of plain files. */
export function untar(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const field = (at: number, length: number): string =>
    archive
      .toString("utf8", at, at + length)
      .replace(/\0.*$/s, "")
      .trim();
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const size = Number.parseInt(field(at + 124, 12), 8);
    const isFile = field(at + 156, 1) === "0" || field(at + 156, 1) === "";
    if (isFile) files.set(field(at, 100).replace(/^.*\//, ""), archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
