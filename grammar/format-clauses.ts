/**
 * Clauses of sections, and sets with what adapts of them, in the one layout: each on one line. `format.ts` lays them
 * out.
 */
import type { AdaptClause, Clause, ManifoldDecl, ParameterTarget } from "./ast.js";
import type { Span } from "../src/diagnostics/span.js";
import { formatExpr } from "./format-expressions.js";

/** What has a place. */
export interface Spanned {
  readonly span: Span;
}

/** A set without arguments keeps its parentheses, if it has them. */
export function formatManifold(text: string, { name, value, adapt }: ManifoldDecl): string {
  const isBare =
    value.lists.every((list) => list.length === 0) && !text.slice(value.callee.span.end).trimStart().startsWith("(");
  const set = formatExpr(isBare ? value.callee : value);
  return `manifold ${name.name} = ${set}${adapt.map(formatAdapting).join("")}`;
}

function formatAdapting(clause: AdaptClause): string {
  switch (clause.kind) {
    case "learned": {
      const weight = clause.weight ? ` weight ${formatExpr(clause.weight)}` : "";
      return ` adapt ${clause.what.name} in ${formatExpr(clause.from)} .. ${formatExpr(clause.to)}${weight}`;
    }
    case "scheduled":
      return ` adapt ${clause.what.name} = ${formatExpr(clause.value)}`;
    default:
      return clause satisfies never;
  }
}

/** `embed, layers.0`: what a group or a `freeze` is of. */
export const formatTargets = (targets: readonly ParameterTarget[]): string =>
  targets.map((target) => formatExpr(target)).join(", ");

/** A clause of a section. `text`: the page, which says where commas stand between words. */
export function formatClause(text: string, item: Clause): string {
  switch (item.kind) {
    case "setting": {
      const { value } = item;
      return `${item.name.name} = ${value.kind === "every" ? `every ${formatExpr(value.count)}` : formatExpr(value)}`;
    }
    case "on": {
      const each = item.each.map((axis) => ` each ${axis.name}`).join("");
      return `${formatExpr(item.path)}${each} on ${formatExpr(item.manifold)}`;
    }
    case "bound": {
      const words = `${item.shared ? " shared" : ""}${item.monitored ? " monitored" : ""}`;
      return `${formatExpr(item.left)} <= ${formatExpr(item.right)}${words}`;
    }
    case "words": {
      const between = (from: Spanned | undefined, to: Spanned): string =>
        !from ? "" : text.slice(from.span.end, to.span.start).includes(",") ? ", " : " ";
      return item.words.map((word, i) => `${between(item.words[i - 1], word)}${formatExpr(word)}`).join("");
    }
    case "freeze":
      return `freeze ${formatTargets(item.targets)}`;
    case "group": {
      const settings = item.settings.map((setting) => formatClause(text, setting)).join(", ");
      return `group ${formatTargets(item.targets)} {${settings ? ` ${settings} ` : ""}}`;
    }
    default:
      return item satisfies never;
  }
}
