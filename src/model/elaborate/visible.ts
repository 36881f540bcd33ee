/**
 * Which blocks a file may name: its own, those of the files that it uses (all of them, or the ones that it lists in
 * braces), and those of the standard library. Blocks of a page hide those of the library, there and in the library
 * itself; of two files that a page uses, none hides the other's.
 */
import type { Block, File, Ident, Use } from "../../../grammar/ast.js";
import { nearest } from "../../diagnostics/suggest.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";

/** Blocks by name. */
export type BlocksByName = ReadonlyMap<string, Block>;

/** The blocks that can be named, by the file that names them. */
export interface VisibleBlocks {
  /** On the page. */
  readonly page: BlocksByName;
  /** In each file that the page uses. The library names what the page does. */
  readonly files: ReadonlyMap<string, BlocksByName>;
}

/** The file that a `use` of another one names: paths are relative to the file that they stand in. */
export function pathOfUse(file: string, path: string): string {
  if (path.startsWith("/")) return path;
  const parts = [...file.split("/").slice(0, -1), ...path.split("/")];
  const out: string[] = [];
  for (const part of parts) {
    if (part === ".." && out.length && out.at(-1) !== "..") out.pop();
    else if (part !== ".") out.push(part);
  }
  return out.join("/");
}

/** What is read of the files of a page. */
interface Visiting {
  readonly files: ReadonlyMap<string, File>;
  readonly report: (d: Diagnostic) => void;
  readonly own: Map<string, BlocksByName>;
}

/** The blocks of a page and of all files, of which the first is the page. Two of one name in a file are an error. */
export function visibleBlocks(files: readonly File[], report: (d: Diagnostic) => void): VisibleBlocks {
  const byName = new Map(files.map((file) => [file.name, file]));
  const reading: Visiting = { files: byName, report, own: new Map() };
  for (const file of files) reading.own.set(file.name, ownBlocks(file, report));
  const [page] = files;
  if (!page) return { page: new Map(), files: new Map() };
  const used = reachable(reading, page.name);
  const library = new Map(files.filter(({ name }) => !used.has(name)).flatMap(({ name }) => [...ownOf(reading, name)]));
  const onPage = new Map([...library, ...taken(reading, page), ...ownOf(reading, page.name)]);
  const others = [...used].flatMap((name): (readonly [string, BlocksByName])[] => {
    const file = byName.get(name);
    return file && file !== page
      ? [[name, new Map([...onPage, ...taken(reading, file), ...ownOf(reading, name)])]]
      : [];
  });
  return { page: onPage, files: new Map(others) };
}

const ownOf = ({ own }: Visiting, name: string): BlocksByName => own.get(name) ?? new Map();

function ownBlocks({ items }: File, report: (d: Diagnostic) => void): BlocksByName {
  const blocks = new Map<string, Block>();
  for (const item of items) {
    if (item.kind !== "block" && item.kind !== "connection") continue;
    const { name, span } = item.name;
    const before = blocks.get(name);
    if (!before) blocks.set(name, item);
    else
      report(
        diagnostic("MHC202", span, `\`${name}\` is defined twice`, {
          notes: [{ message: "it is defined here first", span: before.name.span }],
        }),
      );
  }
  return blocks;
}

const usesOf = ({ items }: File): readonly Use[] => items.filter((item): item is Use => item.kind === "use");

/** The names of the files that a file uses, and that those use, with its own. */
function reachable({ files }: Pick<Visiting, "files">, name: string, found = new Set<string>()): ReadonlySet<string> {
  const file = files.get(name);
  if (!file || found.has(name)) return found;
  found.add(name);
  for (const use of usesOf(file)) reachable({ files }, pathOfUse(name, use.path.value), found);
  return found;
}

/** What a file gives to those that use it: its own blocks, and what it takes of others. */
function given(reading: Visiting, file: File, around: readonly File[]): BlocksByName {
  return around.includes(file)
    ? new Map()
    : new Map([...takenFrom(reading, file, [...around, file], () => undefined), ...ownOf(reading, file.name)]);
}

/** The blocks that a file takes of those that it uses. What is wrong with it is reported. */
const taken = (reading: Visiting, file: File): BlocksByName => takenFrom(reading, file, [file], reading.report);

function takenFrom(
  reading: Visiting,
  file: File,
  around: readonly File[],
  report: (d: Diagnostic) => void,
): BlocksByName {
  const blocks = new Map<string, Block>();
  const uses = new Map<string, Use>();
  const own = ownOf(reading, file.name);
  for (const use of usesOf(file)) {
    const other = reading.files.get(pathOfUse(file.name, use.path.value));
    if (!other) continue;
    const gives = given(reading, other, around);
    for (const [name, block] of listed(use, gives, report)) {
      const before = uses.get(name);
      if (before && blocks.get(name) !== block && !own.has(name)) report(clash(name, before, use));
      uses.set(name, use);
      blocks.set(name, block);
    }
  }
  return blocks;
}

/** Of the blocks of a file, those that a `use` lists, or all. */
function listed({ names, path }: Use, blocks: BlocksByName, report: (d: Diagnostic) => void): BlocksByName {
  if (!names) return blocks;
  const found = new Map<string, Block>();
  for (const ident of names) {
    const block = blocks.get(ident.name);
    if (block) found.set(ident.name, block);
    else report(notThere(ident, path.value, blocks.keys()));
  }
  return found;
}

/** That a file has nothing of a name that a `use` lists. */
export function notThere({ name, span }: Ident, file: string, names: Iterable<string>): Diagnostic {
  const all = [...names];
  const guess = nearest(name, all);
  const there = all.length ? `it has ${all.map((other) => `\`${other}\``).join(", ")}` : "it has none";
  return diagnostic("MHC201", span, `there is no block \`${name}\` in \`${file}\``, {
    fix: guess ? `did you mean \`${guess}\`?` : there,
  });
}

function clash(name: string, first: Use, second: Use): Diagnostic {
  return diagnostic(
    "MHC202",
    second.path.span,
    `\`${name}\` is a block of \`${first.path.value}\` and of \`${second.path.value}\``,
    {
      notes: [{ message: "the other one is taken here", span: first.path.span }],
      fix: `say what is taken of each: \`use "${second.path.value}" { … }\` without \`${name}\``,
    },
  );
}
