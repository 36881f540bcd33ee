/**
 * What the files of a page are called. An app imports them, so their name must be one that every system, every URL and
 * every bundler reads alike: a `#` ends a path in a URL, Windows has no `:` in names and opens a device for `aux.ts`,
 * and there and on macOS `Model.ts` and `model.ts` are one file.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename } from "node:path";
import { UsageError } from "./outcome.js";

const RENAME = "give the page another file name";
/** Bytes of a name, of the 255 that systems take; what is put behind it takes some. */
const LONGEST = 200;
const DEVICE = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i;

/** A page's name without its ending. Throws UsageError when files for an app cannot be called so. */
export function stemOf(path: string): string {
  const stem = basename(path).replace(/\.mhc$/, "");
  const refuse = (why: string): never => {
    throw new UsageError(`error: files for an app cannot be called ${JSON.stringify(stem)}: ${why}; ${RENAME}`);
  };
  const character = /[\p{Cc}\p{Zl}\p{Zp}"#%*/:<>?\\|]/u.exec(stem)?.[0];
  if (character !== undefined) refuse(`not every system and URL has ${JSON.stringify(character)} in a name`);
  if (/^$|^\.|[. ]$/.test(stem))
    refuse("a name has something before its dots, and ends neither in a dot nor in a space");
  if (DEVICE.test(stem)) refuse("on Windows it is a device");
  const bytes = Buffer.byteLength(stem);
  if (bytes > LONGEST) refuse(`it has ${bytes} bytes, and ${LONGEST} are the most`);
  return stem;
}

/** Names that Windows and macOS do not tell apart are the same. */
export const folded = (name: string): string => name.normalize("NFC").toLowerCase();

/** Throws UsageError when a folder has another file that is the same as one of these where case does not count. */
export function mustStandBeside(folder: string, files: readonly string[]): void {
  const there = new Map((existsSync(folder) ? readdirSync(folder) : []).map((name) => [folded(name), name]));
  for (const file of files) {
    const other = there.get(folded(file));
    if (other === undefined || other === file) continue;
    const same = `${folder} has ${other}, and on Windows and macOS ${file} is the same file`;
    throw new UsageError(`error: ${same}: give another --out, or ${RENAME}`);
  }
}
