/**
 * Sources of data: `data corpus = characters("…", window = context, holdout = 10%)`. A source gives tensors that are
 * looked up as `corpus.token`, and sizes that only the data can tell, which stay symbolic without facts. What each kind
 * takes and gives is in `source-kinds.ts`.
 */
import type { Call, DataDecl, Expr } from "../../../grammar/ast.js";
import { recordOf, valueAt } from "../../../runtime/records.js";
import type { Fact } from "../../../runtime/sources.js";
import type { DataSource } from "../typed.js";
import { scalarOf } from "./numbers.js";
import { define, fail, unknownName, type Elaboration, type Scope } from "./scope.js";
import type { SourceDraft } from "./source-draft.js";
import { isSource, sourceKinds } from "./source-kinds.js";
import { dotted } from "./syntax.js";

/** What only the data can tell, by the name of the source. */
export type Facts = Readonly<Record<string, Fact>>;

/** The share that is held out when the page does not say. */
const HOLDOUT = 0.1;

/** What is outside of the page. */
export interface Outside {
  /** Locations by the name of the source. */
  readonly data: Readonly<Record<string, string>>;
  readonly facts: Facts | null;
}

/** Reads a source, and defines its name. */
export function readData(state: Elaboration, scope: Scope, item: DataDecl, outside: Outside): DataSource {
  const { name, span } = item.name;
  const kind = dotted(item.source.callee);
  if (!isSource(kind))
    return unknownName(state, {
      code: "MHC401",
      span: item.source.callee.span,
      message: `\`${kind}\` is not a source of data; there are ${listed(Object.keys(sourceKinds))}`,
      name: kind,
      candidates: Object.keys(sourceKinds),
    });
  const { options, location: onPage } = readArguments(state, kind, item.source);
  const location = valueAt(outside.data, name) ?? onPage;
  if (location === null)
    return fail(state, "MHC402", item.source.span, `\`${kind}\` needs the location of its data`, {
      fix: `write \`${kind}("${sourceKinds[kind].place}", …)\``,
    });
  const source: SourceDraft = { state, scope, item, kind, options, facts: valueAt(outside.facts, name) ?? null };
  const holdout = holdoutOf(source);
  const { fields, stated, sizes, numbers = new Map(), settings = [] } = sourceKinds[kind].give(source);
  const data: DataSource = {
    name,
    kind,
    location,
    holdout,
    stated,
    sizes,
    numbers,
    settings: recordOf(settings),
    doc: item.doc,
    span: item.span,
  };
  define(state, scope, name, { kind: "data", source: data, fields, span });
  return data;
}

/** `a, b and c` */
const listed = (names: readonly string[]): string => `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;

/** The options of a source by name, and its location, which has none. */
function readArguments(
  state: Elaboration,
  kind: DataSource["kind"],
  source: Call,
): { readonly options: ReadonlyMap<string, Expr>; readonly location: string | null } {
  const allowed = sourceKinds[kind].options;
  const options = new Map<string, Expr>();
  let location: string | null = null;
  for (const { name, value, span } of source.lists.flat()) {
    if (!name) {
      if (value.kind !== "string" || location !== null)
        fail(state, "MHC402", span, `\`${kind}\` takes one location, as text: a path or "npm:package/path"`);
      else location = value.value;
    } else if (options.has(name.name)) fail(state, "MHC402", name.span, `\`${name.name}\` is given twice`);
    else if (allowed.includes(name.name)) options.set(name.name, value);
    else
      unknownName(state, {
        code: "MHC402",
        span: name.span,
        message: `\`${kind}\` has no option \`${name.name}\`; it has ${allowed.join(", ")}`,
        name: name.name,
        candidates: allowed,
      });
  }
  return { options, location };
}

function holdoutOf({ state, scope, item, kind, options }: SourceDraft): number {
  const e = options.get("holdout");
  // A model of pairs is asked to tell them from others, so none are held out unless the page says so.
  const holdout = e ? scalarOf(state, e, scope).value() : kind === "pairs" ? 0 : HOLDOUT;
  if ((holdout > 0 && holdout < 1) || (kind === "pairs" && holdout === 0)) return holdout;
  const literal = e?.kind === "number" ? e : null;
  const isPercent = literal && holdout >= 1 && holdout < 100 && !literal.percent;
  return fail(
    state,
    "MHC402",
    e?.span ?? item.source.span,
    `\`holdout\` is a share between 0% and 100%, and is ${literal ? literal.text : holdout}`,
    { fix: isPercent ? `write \`${literal.text}%\`` : null },
  );
}
