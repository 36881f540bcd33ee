/** Statements by what stands in them. */
import type { Statement, Typed } from "./typed.js";

/** `repeat layers { … }` */
export type RepeatStatement = Extract<Statement, { readonly kind: "repeat" }>;

/** What gives a value: every statement that has no others in it. */
export type ValueStatement = Extract<Statement, { readonly value: Typed }>;

/** The statements in a statement, in the order of the page; of an `if`, those of both branches. */
export function statementsIn(statement: Statement): readonly Statement[] {
  switch (statement.kind) {
    case "repeat":
      return statement.body;
    case "if":
      return [...statement.then, ...statement.otherwise];
    case "let":
    case "apply":
    case "update":
      return [];
    default:
      return statement satisfies never;
  }
}
