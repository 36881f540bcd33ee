/**
 * What a page uses: other pages, whose blocks it may name, and modules with sets of the user's own (`use
 * "./my-set.js"`). The compiler is pure and a module is imported asynchronously, so the host imports beforehand what
 * `modulesOf` names, and hands over what it got; here that is looked at, once, and its functions are watched from then
 * on: whatever they do is an error at the `use` of their module and never one of the compiler.
 */
import type { File, Use } from "../../grammar/ast.js";
import type { Span } from "../diagnostics/span.js";
import { parse } from "../../grammar/parse.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import { guarded, OwnSetError } from "../manifolds/guarded.js";
import { pathOfUse } from "../model/elaborate/visible.js";
import { setsIn } from "../manifolds/own.js";
import { sets } from "../manifolds/registry.js";
import type { ConstraintSet } from "../manifolds/set.js";

/** What reads the files that a page uses: the compiler itself reads none. */
export interface PageHost {
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
  readonly host?: PageHost;
}

/** What was read of a page and of what it uses so far. */
interface UsesState {
  readonly host: PageHost | undefined;
  readonly files: File[];
  /** By the name of the file. */
  readonly texts: Map<string, string>;
  readonly modules: Set<string>;
  readonly own: OwnSet[];
  readonly diagnostics: Diagnostic[];
}

/** Parses a page and all that it uses. */
export function readUses(text: string, { file, host }: PageSource): Uses {
  const state: UsesState = { host, files: [], texts: new Map(), modules: new Set(), own: [], diagnostics: [] };
  readPage(state, file, text);
  const { files, texts, modules, own, diagnostics } = state;
  return { files, texts, modules: [...modules], own, diagnostics };
}

/** Parses a page, once, and reads what it uses. */
function readPage(state: UsesState, name: string, text: string): void {
  if (state.texts.has(name)) return;
  state.texts.set(name, text);
  const parsed = parse(text, name);
  state.diagnostics.push(...parsed.diagnostics);
  state.files.push(parsed.file);
  for (const item of parsed.file.items) if (item?.kind === "use") readUse(state, name, item);
}

/** Reads what a `use` of a file names: a module with sets, or another page. */
function readUse(state: UsesState, file: string, { path: { value: written, span }, names }: Use): void {
  const { host, modules, diagnostics } = state;
  const path = pathOfUse(file, written);
  if (/\.m?js$/.test(path)) {
    if (names)
      diagnostics.push(
        diagnostic("MHC217", names[0]?.span ?? span, `\`${written}\` is a module, and its sets are taken as one`, {
          fix: `write \`use "${written}"\``,
        }),
      );
    if (!modules.has(path)) diagnostics.push(...loadSets(state, path, written, span));
    modules.add(path);
  } else if (/\.[cm]?ts$/.test(path)) {
    diagnostics.push(
      diagnostic("MHC217", span, `\`${written}\` is TypeScript, and a set of your own is a JavaScript module`, {
        fix: "compile it, and use the .js file",
      }),
    );
  } else {
    const text = host?.read(path) ?? null;
    if (text === null)
      diagnostics.push(
        diagnostic("MHC217", span, `\`${written}\` cannot be read`, {
          fix: "paths are relative to the file that names them",
        }),
      );
    else readPage(state, path, text);
  }
}

/** Takes the sets of a module, as the `use` at `span` names it (`written`); what is wrong with them is returned. */
function loadSets({ host, own }: UsesState, path: string, written: string, span: Span): Diagnostic[] {
  const loaded = host?.load?.(path) ?? null;
  if (loaded === null)
    return [
      diagnostic("MHC217", span, `\`${written}\` cannot be read`, {
        fix: host?.load
          ? "paths are relative to the file that names them"
          : "this host loads no modules: give it `load`",
      }),
    ];
  if ("error" in loaded) return [diagnostic("MHC217", span, `\`${written}\` cannot be loaded: ${loaded.error}`)];
  const { sets: declared, problems } = setsIn(
    loaded.value,
    (name) => Object.hasOwn(sets, name) || own.some(({ set }) => set.name === name),
  );
  own.push(...declared.map((set) => ({ set: guarded(set), span })));
  return problems.map((problem) =>
    diagnostic("MHC307", span, `\`${written}\`: ${problem}`, {
      fix: "what a set of your own is, with an example, is in docs/manifolds.md",
    }),
  );
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
