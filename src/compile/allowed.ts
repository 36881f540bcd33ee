/**
 * Warnings that a page allows: `allow MHC220` as an item of the model is for the page, and as an item of a block for
 * what is inside of it. Such warnings are not shown. An error cannot be allowed, and an `allow` that nothing needs is a
 * warning of its own, so that none outlives its reason.
 */
import type { File, Ident, AnyItem } from "../../grammar/ast.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import { nearest } from "../diagnostics/suggest.js";
import { diagnostic, table, type Code } from "../diagnostics/table.js";

/** A code that is allowed. */
export interface Allowance {
  readonly code: Code;
  /** Where it is allowed: a block, or everywhere. */
  readonly inside: Span | null;
  readonly span: Span;
}

/** What the files of a page allow. */
export interface Allowances {
  readonly list: readonly Allowance[];
  /** What is wrong with it: codes that there are not, codes of errors, and codes that stand twice. */
  readonly errors: readonly Diagnostic[];
}

/** Warnings that only compiling can find: checking a page does not know whether something raises them. */
const FOUND_LATER: ReadonlySet<string> = new Set<Code>(["MHC602"]);
/** The code of an `allow` that nothing needs. */
const IDLE = "MHC225";

const isCode = (name: string): name is Code => Object.hasOwn(table, name);

/** What a page allows, and its blocks; `files` begins with the page. */
export function allowancesOf(files: readonly File[]): Allowances {
  const list: Allowance[] = [];
  const errors: Diagnostic[] = [];
  for (const { items } of files)
    for (const item of items) {
      if (item.kind === "use") continue;
      const parts: readonly AnyItem[] = item.items;
      const codes = parts.flatMap((part) => (part.kind === "allow" ? part.codes : []));
      const inside = item.kind === "model" ? null : item.span;
      const here = new Map<string, Ident>();
      for (const ident of codes) {
        const before = here.get(ident.name);
        here.set(ident.name, ident);
        const error = errorIn(ident, before);
        if (error) errors.push(error);
        else list.push({ code: ident.name as Code, inside, span: ident.span });
      }
    }
  return { list, errors };
}

/** What is wrong with one code; `before`: the same code, where it stands already. */
function errorIn({ name, span }: Ident, before: Ident | undefined): Diagnostic | null {
  if (!isCode(name)) {
    const warnings = Object.entries(table).flatMap(([code, { severity }]) => (severity === "warning" ? [code] : []));
    const guess = nearest(name, warnings);
    return diagnostic("MHC201", span, `\`${name}\` is not the code of a warning`, {
      fix: guess ? `did you mean \`${guess}\`?` : `there are ${warnings.join(", ")}`,
    });
  }
  if (table[name].severity === "error")
    return diagnostic(
      "MHC210",
      span,
      `\`${name}\` is an error (${table[name].title}), and an error cannot be allowed`,
      {
        fix: "take it out, and change what the error is about",
      },
    );
  return before
    ? diagnostic("MHC202", span, `\`${name}\` is allowed twice`, {
        notes: [{ message: "it is allowed here", span: before.span }],
      })
    : null;
}

const isInside = (inner: Span, outer: Span | null): boolean =>
  outer === null || (inner.file === outer.file && inner.start >= outer.start && inner.end <= outer.end);

const isFor = ({ code, inside }: Allowance, { code: raised, span, about = [], severity }: Diagnostic): boolean =>
  severity === "warning" &&
  raised === code &&
  (isInside(span, inside) || (about.length > 0 && about.every((place) => isInside(place, inside))));

/**
 * What is shown of the diagnostics of a page: all that are not allowed and, where they are `whole`, a warning for each
 * code that the page allows and that nothing raised. Those of other files are for other pages too. `later`: whether
 * the diagnostics are those that only compiling finds.
 */
export function shown(
  { list }: Allowances,
  diagnostics: readonly Diagnostic[],
  { page, whole, later = false }: { readonly page: string; readonly whole: boolean; readonly later?: boolean },
): readonly Diagnostic[] {
  const idle = (allowance: Allowance): boolean =>
    whole &&
    allowance.span.file === page &&
    FOUND_LATER.has(allowance.code) === later &&
    allowance.code !== IDLE &&
    !diagnostics.some((raised) => isFor(allowance, raised));
  const told = list.filter(idle).map(({ code, span }) =>
    diagnostic(IDLE, span, `nothing raises \`${code}\` (${table[code].title}), so there is nothing to allow`, {
      fix: "take it out",
    }),
  );
  return [...diagnostics, ...told].filter((raised) => !list.some((allowance) => isFor(allowance, raised)));
}
