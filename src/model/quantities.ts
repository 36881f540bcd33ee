/** What claims are about, as data: how it is written, and what it is of. */
import { repeatsOf, written } from "./paths.js";
import type { Axis, Parameter, Quantity } from "./typed.js";

/** The repeats of which a quantity has one value a layer. */
export function layersOf(quantity: Quantity): readonly string[] {
  switch (quantity.kind) {
    case "norm":
      return repeatsOf(quantity.parameter.name);
    case "product":
      return [...new Set(quantity.factors.flatMap(layersOf))];
    case "over":
      return layersOf(quantity.quantity).filter((repeat) => repeat !== quantity.repeat);
    case "gain":
    case "number":
      return [];
    default:
      return quantity satisfies never;
  }
}

/** The parameters whose norms a quantity is made of. */
export function normsIn(quantity: Quantity): readonly Parameter[] {
  switch (quantity.kind) {
    case "norm":
      return [quantity.parameter];
    case "product":
      return quantity.factors.flatMap(normsIn);
    case "over":
      return normsIn(quantity.quantity);
    case "gain":
    case "number":
      return [];
    default:
      return quantity satisfies never;
  }
}

/** The streams whose gains a quantity is made of. */
export function streamsIn(quantity: Quantity): readonly string[] {
  switch (quantity.kind) {
    case "gain":
      return [quantity.stream.name];
    case "product":
      return quantity.factors.flatMap(streamsIn);
    case "over":
      return streamsIn(quantity.quantity);
    case "norm":
    case "number":
      return [];
    default:
      return quantity satisfies never;
  }
}

/** A quantity as a page writes it. */
export function show(quantity: Quantity): string {
  switch (quantity.kind) {
    case "number":
      return `${quantity.value}`;
    case "gain":
      return `gain(${quantity.stream.name})`;
    case "norm": {
      const { parameter, rows } = quantity;
      const plain = parameter.tensor.axes.length === 2 && rows[0] === parameter.tensor.axes[0];
      return `norm${plain ? "" : listed(rows)}(${written(parameter.name)})`;
    }
    case "product":
      return quantity.factors.map(show).join(" * ");
    case "over":
      return `product[${quantity.repeat}](${show(quantity.quantity)})`;
    default:
      return quantity satisfies never;
  }
}

/** Axes as a page writes them: `[heads, d]`. */
export const listed = (axes: readonly Axis[]): string => `[${axes.map(({ name }) => name).join(", ")}]`;
