/**
 * What a page uses: other pages, whose blocks it may name, and modules with sets of the user's own (`use
 * "./my-set.js"`). The compiler is pure and a module is imported asynchronously, so the host imports beforehand what
 * `modulesOf` names, and hands over what it got; here that is looked at, once, and its functions are watched from then
 * on: whatever they do is an error at the `use` of their module and never one of the compiler.
 */
import type { File } from "../../grammar/ast.js";
import type { Span } from "../diagnostics/span.js";
import { parse } from "../../grammar/parse.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import { guarded, OwnSetError } from "../manifolds/guarded.js";
import { setsIn } from "../manifolds/own.js";
import { sets } from "../manifolds/registry.js";
import type { ConstraintSet } from "../manifolds/set.js";

/** What reads the files that a page uses: the compiler itself reads none. */
export interface Host {
  /** The text of a file named by `use`, or null when there is none. */
  readonly read: (path: string) => string | null;
  /**
   * A module named by `use`, imported beforehand; null when there is none. Without this a page has no sets of its own.
   */
  readonly load?: (path: string) => LoadedModule | null;
}

/** The default export of a module (a set, or a list of them), or why it could not be imported. */
export type LoadedModule = { readonly value: unknown } | { readonly error: string };

/** A set of the user's own, and the place of its `use`. */
export interface OwnSet {
  readonly set: ConstraintSet;
  readonly span: Span;
}

/** A page and all that it uses, parsed. */
export interface Uses {
  /** The page, and the pages that it uses. */
  readonly files: readonly File[];
  readonly texts: ReadonlyMap<string, string>;
  /** Paths of modules. */
  readonly modules: readonly string[];
  readonly own: readonly OwnSet[];
  readonly diagnostics: readonly Diagnostic[];
}

/** Where a page comes from: the name of its file, and what reads the files that it uses. */
export interface PageSource {
  readonly file: string;
  readonly host?: Host;
}

/** Parses a page and all that it uses. */
export function readUses(text: string, { file, host }: PageSource): Uses {
  const files: File[] = [];
  const texts = new Map<string, string>();
  const modules = new Set<string>();
  const own: OwnSet[] = [];
  const diagnostics: Diagnostic[] = [];
  const read = (name: string, content: string): void => {
    if (texts.has(name)) return;
    texts.set(name, content);
    const parsed = parse(content, name);
    diagnostics.push(...parsed.diagnostics);
    files.push(parsed.file);
    for (const item of parsed.file.items) {
      if (item?.kind !== "use") continue;
      const { value: written, span } = item.path;
      const path = relativeTo(name, written);
      if (/\.m?js$/.test(path)) {
        if (!modules.has(path)) diagnostics.push(...load(path, written, span));
        modules.add(path);
      } else if (/\.[cm]?ts$/.test(path)) {
        diagnostics.push(
          diagnostic("MHC217", span, `\`${written}\` is TypeScript, and a set of your own is a JavaScript module`, {
            fix: "compile it, and use the .js file",
          }),
        );
      } else {
        const used = host?.read(path) ?? null;
        if (used === null)
          diagnostics.push(
            diagnostic("MHC217", span, `\`${written}\` cannot be read`, {
              fix: "paths are relative to the file that names them",
            }),
          );
        else read(path, used);
      }
    }
  };
  const load = (path: string, written: string, span: Span): Diagnostic[] => {
    const found = host?.load?.(path) ?? null;
    if (found === null)
      return [
        diagnostic("MHC217", span, `\`${written}\` cannot be read`, {
          fix: host?.load
            ? "paths are relative to the file that names them"
            : "this host loads no modules: give it `load`",
        }),
      ];
    if ("error" in found) return [diagnostic("MHC217", span, `\`${written}\` cannot be loaded: ${found.error}`)];
    const { sets: given, problems } = setsIn(
      found.value,
      (name) => Object.hasOwn(sets, name) || own.some(({ set }) => set.name === name),
    );
    own.push(...given.map((set) => ({ set: guarded(set), span })));
    return problems.map((problem) =>
      diagnostic("MHC307", span, `\`${written}\`: ${problem}`, {
        fix: "what a set of your own is, with an example, is in docs/manifolds.md",
      }),
    );
  };
  read(file, text);
  return { files, texts, modules: [...modules], own, diagnostics };
}

/** The modules that a page and the pages that it uses name: what a host imports before it checks or compiles. */
export const modulesOf = (text: string, source: PageSource): readonly string[] => readUses(text, source).modules;

/** Whether the host's stack has ended: a RangeError, and in Firefox an InternalError. */
const isStackEnd = (error: unknown): boolean => error instanceof Error && /call stack|recursion/i.test(error.message);

/**
 * The error of a user's set, at its `use`, or what is too deep for the passes over a graph, which walk it node by node;
 * any other is thrown again.
 */
export function blame(own: readonly OwnSet[], error: unknown, file: string): Diagnostic {
  if (isStackEnd(error)) {
    return diagnostic(
      "MHC224",
      { file, start: 0, end: 1 },
      "what this page computes is a chain too long to be compiled: some thousand steps, each made of the one before",
      {
        fix: "make the chain shorter: fewer layers, or definitions that do not all stand one upon the other",
      },
    );
  }
  const found = error instanceof OwnSetError ? own.find(({ set }) => set.name === error.set) : undefined;
  if (!found) throw error;
  return diagnostic("MHC307", found.span, (error as OwnSetError).message, {
    fix: "`checkSet` of mhc-lang/manifolds tests a set by itself",
  });
}

function relativeTo(file: string, path: string): string {
  if (path.startsWith("/")) return path;
  const parts = [...file.split("/").slice(0, -1), ...path.split("/")];
  const out: string[] = [];
  for (const part of parts) {
    if (part === ".." && out.length && out.at(-1) !== "..") out.pop();
    else if (part !== ".") out.push(part);
  }
  return out.join("/");
}
