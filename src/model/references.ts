/**
 * The names that a piece of a page refers to, in its own words: nothing is looked up here. Of `M.free` and
 * `embed.table` it is the first.
 */
import type { AnyItem, Block, Clause, Expr, If, ModelDecl, ParamDecl } from "../../grammar/ast.js";

/** The names that an expression refers to, in the order of its text. */
export function namesIn(e: Expr): readonly string[] {
  switch (e.kind) {
    case "path":
      return e.parts.slice(0, 1).map(({ name }) => name);
    case "number":
    case "string":
      return [];
    case "tuple":
      return e.items.flatMap(namesIn);
    case "group":
      return namesIn(e.inner);
    case "index":
      return [...namesIn(e.base), ...e.axes.flatMap(namesIn)];
    case "call":
      return [
        ...namesIn(e.callee),
        ...(e.axes ?? []).map(({ name }) => name),
        ...e.lists.flat().flatMap(({ value }) => namesIn(value)),
      ];
    case "unary":
      return namesIn(e.operand);
    case "binary":
      return [...namesIn(e.left), ...namesIn(e.right)];
    case "where":
      return [...namesIn(e.value), ...namesIn(e.condition)];
    case "else":
      return [...namesIn(e.value), ...namesIn(e.otherwise)];
    default:
      return e satisfies never;
  }
}

const axesIn = (axes: readonly { readonly name: string }[] | null): readonly string[] =>
  (axes ?? []).map(({ name }) => name);

const ofParam = (item: ParamDecl): readonly string[] => [
  ...axesIn(item.axes),
  ...namesIn(item.start),
  ...axesIn(item.each),
  ...(item.on ? namesIn(item.on) : []),
];

/** What an item of a model refers to; the name that it defines is not among them, unless it stands in its own value. */
export function namesInItem(item: AnyItem): readonly string[] {
  switch (item.kind) {
    case "dim":
    case "number":
      return namesIn(item.value);
    case "data":
      return namesIn(item.source);
    case "manifold":
      return [
        ...namesIn(item.value),
        ...item.adapt.flatMap((clause) =>
          (clause.kind === "learned" ? [clause.from, clause.to, clause.weight] : [clause.value]).flatMap((e) =>
            e ? namesIn(e) : [],
          ),
        ),
      ];
    case "stream":
    case "output":
    case "let":
      return [...axesIn(item.axes), ...namesIn(item.value)];
    case "input":
      return axesIn(item.axes);
    case "apply":
      return [item.stream.name, ...namesIn(item.block), ...(item.via ? namesIn(item.via) : ["residual"])];
    case "repeat":
      return [...namesIn(item.count), ...item.body.flatMap(namesInItem)];
    case "if":
      return namesInChoice(item);
    case "loss":
    case "term":
    case "metric":
      return namesIn(item.value);
    case "param":
      return ofParam(item);
    case "section":
      return item.clauses.flatMap(namesInClause);
    case "allow":
      return [];
    default:
      return item satisfies never;
  }
}

function namesInChoice({ condition, then, otherwise }: If<AnyItem>): readonly string[] {
  const others = !otherwise
    ? []
    : "kind" in otherwise
      ? namesInChoice(otherwise)
      : otherwise.items.flatMap(namesInItem);
  return [...namesIn(condition), ...then.items.flatMap(namesInItem), ...others];
}

function namesInClause(clause: Clause): readonly string[] {
  switch (clause.kind) {
    case "setting":
      return namesIn(clause.value.kind === "every" ? clause.value.count : clause.value);
    case "on":
      return [...namesIn(clause.path), ...axesIn(clause.each), ...namesIn(clause.manifold)];
    case "bound":
      return [...namesIn(clause.left), ...namesIn(clause.right)];
    case "words":
      return clause.words.flatMap((word) => (word.kind === "path" ? namesIn(word) : []));
    case "freeze":
      return [];
    case "group":
      return clause.settings.flatMap(namesInClause);
    default:
      return clause satisfies never;
  }
}

/** What the items of a model refer to. */
export const namesInModel = ({ items }: ModelDecl): ReadonlySet<string> => new Set(items.flatMap(namesInItem));

/** What the body and the header of a block refer to. */
export function namesInBlock({ config, data, items, result }: Block): ReadonlySet<string> {
  const formals = [...config, ...data].flatMap((formal) => [
    ...axesIn(formal.axes),
    ...(formal.default ? namesIn(formal.default) : []),
  ]);
  const inside = items.flatMap(namesInItem);
  return new Set([...formals, ...inside, ...axesIn(result.axes), ...namesIn(result.value)]);
}
