/** What reading a source of data has at hand: its options, and the tensors that are made of them. */
import type { DataDecl, Expr } from "../../../grammar/ast.js";
import type { Fact } from "../../../runtime/sources.js";
import { known, unify, valueOf, type Size } from "../../graph/sizes.js";
import type { Axis, DataSource, DeferredNumber, Tensor } from "../typed.js";
import { sizeOf } from "./numbers.js";
import { fail, lookupBare, unknownName, type Elaboration, type Scope } from "./scope.js";

/** A source while it is read. */
export interface SourceDraft {
  readonly state: Elaboration;
  readonly scope: Scope;
  readonly item: DataDecl;
  readonly kind: DataSource["kind"];
  /** Its options as the page writes them. */
  readonly options: ReadonlyMap<string, Expr>;
  readonly facts: Fact | null;
}

/** What a kind of source gives: its tensors, and what a `DataSource` says of it. */
export interface SourceTensors {
  readonly fields: ReadonlyMap<string, Tensor>;
  readonly stated: DataSource["stated"];
  readonly sizes: DataSource["sizes"];
  readonly numbers?: ReadonlyMap<string, DeferredNumber>;
  readonly settings?: readonly (readonly [name: string, value: string])[];
}

/** The axis of an option that a source needs: a dim of the page, or one of the option's own name. */
export function requiredAxis(source: SourceDraft, option: string): Axis {
  const { state, item, kind } = source;
  return (
    optionalAxis(source, option) ??
    fail(state, "MHC402", item.source.span, `\`${kind}\` needs \`${option}\``, { fix: `add \`${option} = …\`` })
  );
}

/** The axes of options that a source needs, for one tensor: no two of them may be one. */
export function distinctAxes(source: SourceDraft, ...wanted: readonly string[]): readonly Axis[] {
  const axes = wanted.map((option) => requiredAxis(source, option));
  for (const [i, axis] of axes.entries()) {
    const first = axes.indexOf(axis);
    const e = source.options.get(wanted[i] ?? "");
    if (first < i && e)
      fail(source.state, "MHC402", e.span, `\`${wanted[first]}\` and \`${wanted[i]}\` are one dim, \`${axis.name}\``, {
        fix: "give each a dim of its own, also where they are equal: an index names one axis",
      });
  }
  return axes;
}

/** The axis of an option; null when the page does not have it. */
export function optionalAxis({ state, scope, options }: SourceDraft, option: string): Axis | null {
  const e = options.get(option);
  if (!e) return null;
  const entity = lookupBare(scope, e);
  if (entity?.kind === "dim") return entity.axis;
  const size = sizeOf(state, e, scope);
  if (size.value !== null && size.value < 1)
    return fail(state, "MHC402", e.span, `\`${option}\` is at least 1, and is ${size.value}`);
  return { name: option, size };
}

/** A tensor of a source as a field of its name. `range`: of whole numbers, what they are below; null for floats. */
export const field = (
  { item }: SourceDraft,
  name: string,
  axes: readonly Axis[],
  range: Size | null,
): [string, Tensor] => [
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

/** Refuses data that has another number of something than the page says. `what`: the thing, in the plural. */
export function checkFact({ state, item }: SourceDraft, size: Size, count: number, what: string): void {
  if (!unify(size, known(count)))
    fail(state, "MHC403", item.span, `the data has ${count} ${what}, and the spec says ${valueOf(size)}`);
}

/** The text of an option, in quotes; null when the page does not have it. */
export function textOption({ state, options }: SourceDraft, option: string, example: string): string | null {
  const e = options.get(option);
  if (!e) return null;
  if (e.kind === "string" && e.value.trim() !== "") return e.value;
  return fail(state, "MHC402", e.span, `\`${option}\` is a text in quotes`, {
    fix: `write \`${option} = "${example}"\``,
  });
}

/** The word of an option; null when the page does not have it. */
export function wordOption({ state, options }: SourceDraft, option: string, words: readonly string[]): string | null {
  const e = options.get(option);
  if (!e) return null;
  const word = e.kind === "path" && e.parts.length === 1 ? e.parts[0].name : null;
  if (word !== null && words.includes(word)) return word;
  const message = `\`${option}\` takes the word ${words.map((known) => `\`${known}\``).join(" or ")}`;
  const fix = `write \`${option} = ${words[0] ?? ""}\`, or leave it out`;
  return word === null
    ? fail(state, "MHC402", e.span, message, { fix })
    : unknownName(state, { code: "MHC402", span: e.span, message, name: word, candidates: words });
}

/** The settings of options that the page has. */
export const settingsOf = (
  ...options: readonly (readonly [name: string, value: string | null])[]
): readonly (readonly [name: string, value: string])[] =>
  options.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
