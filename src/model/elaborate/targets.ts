/**
 * The parameters that a clause of `train` is about. A path, `embed` or `attention.wq` or `layers.0`, stands for all
 * whose names have these parts in a row: what is so called, and what is inside of it. A pattern in quotes is held
 * against whole names, where a star stands for any letters, and stands for what is inside of those too. `vectors` have
 * fewer than two axes, `matrices` two or more, and `embeddings` are read by an index.
 */
import type { ParameterTarget } from "../../../grammar/ast.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";
import { layerCounts, namesOfLayers } from "../frozen.js";
import { written } from "../paths.js";
import { statementsIn } from "../statements.js";
import type { Parameter, Statement, Tensor, Typed } from "../typed.js";
import { walk } from "../walk.js";
import type { ModelDraft } from "./draft.js";
import type { Elaboration } from "./scope.js";
import { dotted } from "./syntax.js";

/** A parameter in one layer. */
export interface LayerParameter {
  readonly parameter: Parameter;
  /** With the numbers of layers. */
  readonly name: string;
}

/** The parameters of a page, as targets find them. */
export interface Targeting {
  readonly report: Elaboration["report"];
  readonly parameters: readonly LayerParameter[];
  /** Whether all parameters are known: no part of the page was given up, and the number of all layers is known. */
  readonly whole: boolean;
  readonly embeddings: ReadonlySet<Tensor>;
}

const KINDS = ["vectors", "matrices", "embeddings"] as const;
type TargetKind = (typeof KINDS)[number];

/** The parameters of the page that is being read, once all of its items have been. */
export function targeting(draft: ModelDraft, parameters: readonly Parameter[]): Targeting {
  const counts = layerCounts(draft.statements);
  return {
    report: draft.state.report,
    parameters: parameters.flatMap((parameter) =>
      namesOfLayers(parameter.name, counts).map((name) => ({ parameter, name })),
    ),
    whole: !draft.incomplete && ![...counts.values()].includes(null),
    embeddings: tablesOf(draft),
  };
}

/** What is read by an index, under any of its names. */
function tablesOf({ statements, loss, outputs, parts, metrics }: ModelDraft): Set<Tensor> {
  const tables = new Set<Tensor>();
  const meanings = new Map<Tensor, Typed>();
  walk({ statements, loss, outputs, terms: parts, metrics }, (e) => {
    if (e.kind === "gather") tables.add(e.table);
    if (e.kind !== "call") return;
    e.args.forEach((arg, i) => {
      const formal = e.instance.formals[i];
      if (formal) meanings.set(formal, arg);
    });
    for (const { tensor, value } of e.instance.body) meanings.set(tensor, value);
  });
  noteMeanings(statements, meanings);
  for (const table of tables) {
    const meaning = bare(meanings.get(table));
    if (meaning) tables.add(meaning);
  }
  return tables;
}

function noteMeanings(statements: readonly Statement[], meanings: Map<Tensor, Typed>): void {
  for (const statement of statements) {
    if (statement.kind === "let") meanings.set(statement.tensor, statement.value);
    noteMeanings(statementsIn(statement), meanings);
  }
}

/** The tensor that an expression is, whatever its axes are called there. */
function bare(e: Typed | undefined): Tensor | null {
  if (e?.kind === "relabel") return bare(e.a);
  return e?.kind === "tensor" ? e.tensor : null;
}

/** Whether a parameter is of a kind. */
function isOfKind(
  kind: TargetKind,
  { parameter: { tensor } }: LayerParameter,
  embeddings: ReadonlySet<Tensor>,
): boolean {
  switch (kind) {
    case "vectors":
      return tensor.axes.length < 2;
    case "matrices":
      return tensor.axes.length >= 2;
    case "embeddings":
      return embeddings.has(tensor);
    default:
      return kind satisfies never;
  }
}

/** The parameters that a target stands for. That there are none is reported, with what is near. */
export function parametersOf(targets: Targeting, target: ParameterTarget): readonly LayerParameter[] {
  const { parameters, embeddings } = targets;
  const text = textOf(target);
  const kind = target.kind === "path" ? KINDS.find((other) => other === text) : undefined;
  const holds = (named: LayerParameter): boolean => {
    if (kind) return isOfKind(kind, named, embeddings);
    return target.kind === "path" ? hasInRow(named.name, text) : isOfPattern(named.name, text);
  };
  const found = parameters.filter(holds);
  if (found.length === 0) reportUnmatched(targets, target);
  return found;
}

/** A target as it is written, without quotes. */
export const textOf = (target: ParameterTarget): string => (target.kind === "path" ? dotted(target) : target.value);

/** Whether a name has the parts of a path in a row. */
const hasInRow = (name: string, path: string): boolean => `.${name}.`.includes(`.${path}.`);

/** Whether a name is of a pattern, or inside of what is. */
const isOfPattern = (name: string, pattern: string): boolean => fits(name, pattern) || fits(name, `${pattern}.*`);

/** Whether a whole name is of a pattern, in which a star stands for any letters and dots, or for none. */
function fits(name: string, pattern: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

/** Reports a target that stands for nothing. What is meant may stand in a part of the page that is not known. */
function reportUnmatched({ report, parameters, whole }: Targeting, target: ParameterTarget): void {
  if (!whole) return;
  const text = textOf(target);
  const names = [...new Set(parameters.map(({ parameter }) => written(parameter.name)))];
  const paths = [...names, ...parameters.map(({ name }) => name)].flatMap((name) => {
    const parts = name.split(".");
    return parts.map((_, i) => parts.slice(0, i + 1).join("."));
  });
  const guess = nearest(text.replaceAll("*", "").replace(/^\.+|\.+$/g, ""), new Set([...KINDS, ...paths]));
  const many = names.length > MOST_LISTED ? `, … (${names.length} in all)` : "";
  const list = names.slice(0, MOST_LISTED).map((name) => `\`${name}\``);
  report(
    diagnostic("MHC201", target.span, `no parameter is called \`${text}\``, {
      fix: guess
        ? `did you mean \`${guess}\`?`
        : names.length
          ? `there are ${list.join(", ")}${many}`
          : "there are none",
    }),
  );
}

/** Names that an error lists. */
const MOST_LISTED = 12;
