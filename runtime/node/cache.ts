/** The user's cache folder of mhc: what may be made again. */
import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, extname, join } from "node:path";

/** Whether MHC_CACHE names a folder: it is one, ends as one, or has no ending. */
const isFolder = (named: string): boolean =>
  existsSync(named) ? statSync(named).isDirectory() : /[/\\]$/.test(named) || extname(named) === "";

/** The folder: MHC_CACHE names it, or a file in it; else it is `mhc` in the user's own cache folder. */
export function cacheFolder(): string {
  const named = process.env["MHC_CACHE"];
  if (!named) return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "mhc");
  return isFolder(named) ? named : dirname(named);
}

/** A file of the folder; one that MHC_CACHE names itself. */
export function cacheFile(name: string): string {
  const named = process.env["MHC_CACHE"];
  return named && !isFolder(named) ? named : join(cacheFolder(), name);
}
