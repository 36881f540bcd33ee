/** Links of a Markdown page to files and to headings, as a reader of the installed package follows them. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** What GitHub and npm make of a heading. */
const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[`*]/g, "")
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");

const headings = (page: string): string[] => [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => slug(heading!));

/** Links of a page that lead nowhere, each with the page's path. Addresses of other sites are not looked at. */
export function brokenLinks(folder: string, path: string): string[] {
  const page = readFileSync(join(folder, path), "utf8");
  const prose = page.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)|\b(?:src|href)="([^"]+)"/g)].map(
    ([, link, attribute]) => link ?? attribute!,
  );
  return targets
    .filter((target) => !/^[a-z]+:/i.test(target))
    .filter((target) => {
      const [file = "", anchor] = target.split("#");
      const at = file === "" ? join(folder, path) : join(folder, dirname(path), file);
      return !existsSync(at) || (anchor !== undefined && !headings(readFileSync(at, "utf8")).includes(anchor));
    })
    .map((target) => `${path}: ${target}`);
}
