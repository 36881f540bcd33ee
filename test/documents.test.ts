/**
 * What documents and comments name is there: every path of a file that they give exists, and a file that they call by
 * its bare name (`gain.ts`) is one of the project, in the room that speaks of it or in a room that it may mean. Pages
 * fit 120 columns where prose allows.
 */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { globSync } from "tinyglobby";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = (patterns: readonly string[]): readonly string[] =>
  globSync([...patterns], {
    cwd: root,
    dot: true,
    ignore: ["**/node_modules/**", "dist/**", "test/fixtures/**"],
  }).toSorted();

const PAGES = files(["*.md", "docs/**/*.md", "examples/*.md"]);
const CODE = files(["{src,grammar,codegen,runtime}/**/*.ts"]);
/** Every file of the project by its bare name. */
const BARE = new Set(
  files([
    "{src,grammar,codegen,runtime,specs,test,examples,reference}/**/*.{ts,mjs,js,json,py}",
    "*.{ts,json,cjs}",
  ]).map((file) => basename(file)),
);
/** Files of a user's: what a command writes, and examples of names. */
const OF_A_USER = new Set(["generated/moby-dick.ts", "src/main.ts", "aux.ts", "Model.ts"]);

const FILE = /(?<![\w/.@-])(?:\.{0,2}\/)?((?:[\w-]+\/)*[\w.-]+\.(?:ts|mjs|cjs|py))(?![\w/])/g;

/** The folders that a file stands in, from the nearest to the root. */
function roomsAbove(file: string): readonly string[] {
  const folder = dirname(file);
  return folder === "." ? [folder] : [folder, ...roomsAbove(folder)];
}

/** Files of code that a text names and that are not there. */
function missing(text: string, from: string): readonly string[] {
  return [...text.matchAll(FILE)].flatMap(([, path = ""]) => {
    if (OF_A_USER.has(path) || path.includes("NAME")) return [];
    if (!path.includes("/")) return BARE.has(path) ? [] : [path];
    return roomsAbove(from).some((room) => existsSync(join(root, room, path))) ? [] : [path];
  });
}

/** Fenced code, which is the user's own. */
const withoutFences = (page: string): string => page.replace(/^```[\s\S]*?^```/gm, "");

describe("pages name files that are there", () => {
  it.each(PAGES)("%s", (page) => {
    expect(missing(withoutFences(readFileSync(join(root, page), "utf8")), page)).toEqual([]);
  });
});

it("comments of the code name files that are there", () => {
  const stale = CODE.flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8");
    const comments = [...text.matchAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm)].map(([comment]) => comment).join("\n");
    return missing(comments, file).map((path) => `${file}: ${path}`);
  });
  expect(stale).toEqual([]);
});

it.each(PAGES)("%s fits 120 columns, but for tables, code and facts that are written by a script", (page) => {
  const prose = withoutFences(readFileSync(join(root, page), "utf8"))
    .split("\n")
    .filter((line) => !/^\s*\||^ {4}|^- \*\*(?:What|Options|Holds|Source)\*\*:/.test(line));
  expect(prose.filter((line) => line.length > 120)).toEqual([]);
});
