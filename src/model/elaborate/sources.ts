/**
 * Sources of data: `data corpus = characters("…", window = context, holdout = 10%)`. A source gives tensors that are
 * looked up as `corpus.token`, and sizes that only the data can tell, which stay symbolic without facts.
 */
import type { DataDecl, Expr } from "../../../grammar/ast.js";
import { atom, known, unify, valueOf, type Size } from "../../graph/sizes.js";
import { scalarOf, sizeOf } from "./numbers.js";
import { define, fail, lookup, unknownName, type Elaboration, type Scope } from "./scope.js";
import type { Axis, DataSource, Tensor } from "../typed.js";
import { valueAt } from "../../../runtime/records.js";

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

/** What is outside of the page. */
export interface Outside {
  /** Locations by the name of the source. */
  readonly data: Readonly<Record<string, string>>;
  readonly facts: Facts | null;
}

/** Reads a source, and defines its name. */
export function readData(state: Elaboration, scope: Scope, item: DataDecl, outside: Outside): DataSource {
  const kind = item.source.callee.parts.map((part) => part.name).join(".");
  if (!isSource(kind))
    return unknownName(
      state,
      "MHC401",
      item.source.callee.span,
      `\`${kind}\` is not a source of data; there are characters, examples and pairs`,
      kind,
      Object.keys(SOURCES),
    );
  const allowed = SOURCES[kind];
  const args = item.source.lists.flat();
  const options = new Map<string, Expr>();
  let location: string | null = null;
  for (const arg of args) {
    if (!arg.name) {
      if (arg.value.kind !== "string" || location !== null)
        fail(state, "MHC402", arg.span, `\`${kind}\` takes one location, as text: a path or "npm:package/path"`);
      else location = arg.value.value;
    } else if (!allowed.includes(arg.name.name))
      unknownName(
        state,
        "MHC402",
        arg.name.span,
        `\`${kind}\` has no option \`${arg.name.name}\`; it has ${allowed.join(", ")}`,
        arg.name.name,
        allowed,
      );
    else options.set(arg.name.name, arg.value);
  }
  location = valueAt(outside.data, item.name.name) ?? location;
  if (location === null)
    return fail(state, "MHC402", item.source.span, `\`${kind}\` needs the location of its text`, {
      fix: `write \`${kind}("data/*.${kind === "pairs" ? "tsv" : "txt"}", …)\``,
    });
  const holdoutExpr = options.get("holdout");
  // How well pairs are told from others is asked of the pairs themselves, unless the page says otherwise.
  const holdout = holdoutExpr ? scalarOf(state, holdoutExpr, scope).value() : kind === "pairs" ? 0 : 0.1;
  if (!(holdout > 0 && holdout < 1) && !(kind === "pairs" && holdout === 0))
    fail(
      state,
      "MHC402",
      holdoutExpr?.span ?? item.source.span,
      `\`holdout\` is a share between 0% and 100%, and is ` +
        `${holdoutExpr?.kind === "number" ? holdoutExpr.text : holdout}`,
      {
        fix:
          holdoutExpr?.kind === "number" && holdout >= 1 && holdout < 100 && !holdoutExpr.percent
            ? `write \`${holdoutExpr.text}%\``
            : null,
      },
    );

  const facts = valueAt(outside.facts, item.name.name) ?? null;
  const name = item.name.name;
  const required = (option: string): Axis => {
    const e = options.get(option);
    if (!e)
      return fail(state, "MHC402", item.source.span, `\`${kind}\` needs \`${option}\``, {
        fix: `add \`${option} = …\``,
      });
    if (e.kind === "path" && e.parts.length === 1) {
      const entity = lookup(scope, e.parts[0]!.name);
      if (entity?.kind === "dim") return entity.axis;
    }
    const size = sizeOf(state, e, scope);
    if (size.value !== null && size.value < 1)
      return fail(state, "MHC402", e.span, `\`${option}\` is at least 1, and is ${size.value}`);
    return { name: option, size };
  };
  const tensor = (field: string, axes: readonly Axis[], dtype: "f32" | "u32", range: Size | null): [string, Tensor] => [
    field,
    { name: `${name}.${field}`, kind: "data", axes, dtype, range, span: item.name.span },
  ];
  let source: DataSource;
  let fields: Map<string, Tensor>;
  if (kind === "characters") {
    const window = required("window");
    const range = atom(`${name}.vocab`, facts && "vocabulary" in facts ? facts.vocabulary.length : null);
    source = { name, kind, location, holdout, length: window.size, range, doc: item.doc, span: item.span };
    fields = new Map([tensor("token", [window], "u32", range), tensor("next", [window], "u32", range)]);
  } else if (kind === "pairs") {
    const negatives = required("negatives");
    const range = atom(`${name}.names`, facts && "names" in facts ? facts.names.length : null);
    source = { name, kind, location, holdout, length: negatives.size, range, doc: item.doc, span: item.span };
    fields = new Map([
      tensor("first", [], "u32", range),
      tensor("second", [], "u32", range),
      tensor("others", [negatives], "u32", range),
    ]);
  } else {
    const features = required("features");
    const classes = required("classes");
    source = {
      name,
      kind,
      location,
      holdout,
      length: features.size,
      range: classes.size,
      doc: item.doc,
      span: item.span,
    };
    fields = new Map([tensor("value", [features], "f32", null), tensor("label", [], "u32", classes.size)]);
    if (facts && "features" in facts) {
      for (const [axis, found] of [
        [features, facts.features],
        [classes, facts.classes],
      ] as const) {
        if (!unify(axis.size, known(found)))
          fail(
            state,
            "MHC403",
            item.span,
            `the data has ${found} ${axis.name === features.name ? "numbers an example" : "classes"}, and the ` +
              `spec says ${valueOf(axis.size)}`,
          );
      }
    }
  }
  define(state, scope, name, { kind: "data", source, fields, span: item.name.span });
  return source;
}
