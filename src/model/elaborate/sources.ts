/**
 * Sources of data: `data corpus = characters("…", window = context, holdout = 10%)`. A source gives tensors that are
 * looked up as `corpus.token`, and sizes that only the data can tell, which stay symbolic without facts.
 */
import type { Call, DataDecl, Expr } from "../../../grammar/ast.js";
import { valueAt } from "../../../runtime/records.js";
import { atom, known, unify, valueOf, type Size } from "../../graph/sizes.js";
import type { Axis, DataSource, Tensor } from "../typed.js";
import { scalarOf, sizeOf } from "./numbers.js";
import { define, fail, lookupBare, unknownName, type Elaboration, type Scope } from "./scope.js";
import { dotted } from "./syntax.js";

/** What only the data can tell, by the name of the source. */
export type Facts = Readonly<
  Record<
    string,
    | { readonly vocabulary: readonly string[] }
    | { readonly features: number; readonly classes: number }
    | { readonly names: readonly string[] }
  >
>;

/** Sources of data, each with its options. */
const SOURCES: Readonly<Record<DataSource["kind"], readonly string[]>> = {
  characters: ["window", "holdout"],
  examples: ["features", "classes", "holdout"],
  pairs: ["negatives", "holdout"],
};
const isSource = (kind: string): kind is DataSource["kind"] => Object.hasOwn(SOURCES, kind);

/** The share that is held out when the page does not say. */
const HOLDOUT = 0.1;

/** What is outside of the page. */
export interface Outside {
  /** Locations by the name of the source. */
  readonly data: Readonly<Record<string, string>>;
  readonly facts: Facts | null;
}

/** A source while it is read. */
interface SourceDraft {
  readonly state: Elaboration;
  readonly scope: Scope;
  readonly item: DataDecl;
  readonly kind: DataSource["kind"];
  /** Its options as the page writes them. */
  readonly options: ReadonlyMap<string, Expr>;
  readonly facts: Facts[string] | null;
}

/** What a kind of source gives: its tensors, and the two sizes of a `DataSource`. */
interface SourceTensors {
  readonly fields: ReadonlyMap<string, Tensor>;
  readonly length: Size;
  readonly range: Size;
}

/** Reads a source, and defines its name. */
export function readData(state: Elaboration, scope: Scope, item: DataDecl, outside: Outside): DataSource {
  const { name, span } = item.name;
  const kind = dotted(item.source.callee);
  if (!isSource(kind))
    return unknownName(state, {
      code: "MHC401",
      span: item.source.callee.span,
      message: `\`${kind}\` is not a source of data; there are characters, examples and pairs`,
      name: kind,
      candidates: Object.keys(SOURCES),
    });
  const { options, location: onPage } = readArguments(state, kind, item.source);
  const location = valueAt(outside.data, name) ?? onPage;
  if (location === null)
    return fail(state, "MHC402", item.source.span, `\`${kind}\` needs the location of its text`, {
      fix: `write \`${kind}("data/*.${kind === "pairs" ? "tsv" : "txt"}", …)\``,
    });
  const source: SourceDraft = { state, scope, item, kind, options, facts: valueAt(outside.facts, name) ?? null };
  const holdout = holdoutOf(source);
  const { fields, length, range } = giving[kind](source);
  const data: DataSource = { name, kind, location, holdout, length, range, doc: item.doc, span: item.span };
  define(state, scope, name, { kind: "data", source: data, fields, span });
  return data;
}

/** The options of a source by name, and its location, which has none. */
function readArguments(
  state: Elaboration,
  kind: DataSource["kind"],
  source: Call,
): { readonly options: ReadonlyMap<string, Expr>; readonly location: string | null } {
  const allowed = SOURCES[kind];
  const options = new Map<string, Expr>();
  let location: string | null = null;
  for (const { name, value, span } of source.lists.flat()) {
    if (!name) {
      if (value.kind !== "string" || location !== null)
        fail(state, "MHC402", span, `\`${kind}\` takes one location, as text: a path or "npm:package/path"`);
      else location = value.value;
    } else if (allowed.includes(name.name)) options.set(name.name, value);
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

/** The axis of an option that a source needs: a dim of the page, or one of the option's own name. */
function requiredAxis({ state, scope, item, kind, options }: SourceDraft, option: string): Axis {
  const e = options.get(option);
  if (!e)
    return fail(state, "MHC402", item.source.span, `\`${kind}\` needs \`${option}\``, {
      fix: `add \`${option} = …\``,
    });
  const entity = lookupBare(scope, e);
  if (entity?.kind === "dim") return entity.axis;
  const size = sizeOf(state, e, scope);
  if (size.value !== null && size.value < 1)
    return fail(state, "MHC402", e.span, `\`${option}\` is at least 1, and is ${size.value}`);
  return { name: option, size };
}

/** A tensor of a source as a field of its name. `range`: of whole numbers, what they are below; null for floats. */
const field = ({ item }: SourceDraft, name: string, axes: readonly Axis[], range: Size | null): [string, Tensor] => [
  name,
  {
    name: `${item.name.name}.${name}`,
    kind: "data",
    axes,
    dtype: range === null ? "f32" : "u32",
    range,
    span: item.name.span,
  },
];

/** What each kind of source gives. */
const giving: Readonly<Record<DataSource["kind"], (source: SourceDraft) => SourceTensors>> = {
  characters: (source) => {
    const { item, facts } = source;
    const window = requiredAxis(source, "window");
    const range = atom(`${item.name.name}.vocab`, facts && "vocabulary" in facts ? facts.vocabulary.length : null);
    const fields = new Map([field(source, "token", [window], range), field(source, "next", [window], range)]);
    return { fields, length: window.size, range };
  },
  pairs: (source) => {
    const { item, facts } = source;
    const negatives = requiredAxis(source, "negatives");
    const range = atom(`${item.name.name}.names`, facts && "names" in facts ? facts.names.length : null);
    const fields = new Map([
      field(source, "first", [], range),
      field(source, "second", [], range),
      field(source, "others", [negatives], range),
    ]);
    return { fields, length: negatives.size, range };
  },
  examples: (source) => {
    const { facts } = source;
    const features = requiredAxis(source, "features");
    const classes = requiredAxis(source, "classes");
    if (facts && "features" in facts) {
      checkFact(source, features, facts.features, "numbers an example");
      checkFact(source, classes, facts.classes, "classes");
    }
    const fields = new Map([field(source, "value", [features], null), field(source, "label", [], classes.size)]);
    return { fields, length: features.size, range: classes.size };
  },
};

/** Refuses data that has another number of something than the page says. `what`: the thing, in the plural. */
function checkFact({ state, item }: SourceDraft, axis: Axis, count: number, what: string): void {
  if (!unify(axis.size, known(count)))
    fail(state, "MHC403", item.span, `the data has ${count} ${what}, and the spec says ${valueOf(axis.size)}`);
}
