/**
 * What a page names and measures beside its loss, as types of its module: the names of the parts of its loss and of its
 * metrics, in what steps and evaluations tell.
 */
import type { InterfaceDeclarationStructure, OptionalKind } from "ts-morph";
import type { MeasuredInfo, Plan } from "../../runtime/plan.js";
import { commentOf } from "./words.js";

/** What a page measures by name beside its loss, by the kind of it. */
const measuredKinds = ({
  name,
  terms,
  metrics,
}: Plan): readonly { readonly kind: string; readonly infos: readonly MeasuredInfo[]; readonly what: string }[] => [
  ...(terms ? [{ kind: "Terms", infos: terms, what: `The named parts of the loss of ${name}.` }] : []),
  ...(metrics ? [{ kind: "Metrics", infos: metrics, what: `The metrics of ${name}.` }] : []),
];

/** The type of what has named parts of the loss and metrics, with the names of this page. */
export const naming = (plan: Plan, type: string): string => {
  const kinds = measuredKinds(plan);
  if (!kinds.length) return type;
  const keys = kinds.map(({ kind }) => `"${kind.toLowerCase()}"`);
  const fields = kinds.map(({ kind }) => `readonly ${kind.toLowerCase()}: ${plan.name}${kind}`);
  return `Omit<${type}, ${keys.join(" | ")}> & { ${fields.join("; ")} }`;
};

/** A call of the runtime's model, whose result is said to have the names of this page. */
export const saying = (plan: Plan, call: string, type: string): string =>
  measuredKinds(plan).length ? `${call} as unknown as ${type}` : call;

/** An interface for the parts of the loss and one for the metrics, where the page names some. */
export const measuredInterfaces = (plan: Plan): readonly OptionalKind<InterfaceDeclarationStructure>[] =>
  measuredKinds(plan).map(({ kind, infos, what }) => ({
    name: `${plan.name}${kind}`,
    isExported: true,
    docs: [what],
    properties: infos.map(({ name, doc }) => ({
      name,
      type: "number",
      isReadonly: true,
      ...(doc ? { docs: [commentOf(doc)] } : {}),
    })),
  }));
