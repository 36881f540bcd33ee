/**
 * Expressions to typed expressions: names become tensors (`tensors.ts`), calls become instances, members of sets and
 * functions (`calls.ts`). Sums are not made explicit here: `einstein.ts` does that once the wanted axes are known.
 */
import type { Binary, Expr } from "../../../grammar/ast.js";
import type { Factor, Typed } from "../typed.js";
import { call } from "./calls.js";
import { isOfNumbers } from "./choices.js";
import { scalarOf } from "./numbers.js";
import { fail, lookupBare, type Elaboration, type Expected, type Scope } from "./scope.js";
import { choice } from "./reducers.js";
import { bareName } from "./syntax.js";
import { indexed, reference } from "./tensors.js";

/** The typed expression that an expression stands for, where axes are `expected` of it. Throws `Abandoned`. */
export function expression(state: Elaboration, e: Expr, scope: Scope, expected: Expected): Typed {
  const { span } = e;
  switch (e.kind) {
    case "number":
      return e.bytes
        ? fail(state, "MHC210", span, `${e.text} is a size of memory, and has no place in an expression`)
        : { kind: "number", value: e.value, span };
    case "string":
      return fail(state, "MHC210", span, "text has no place in an expression");
    case "tuple":
      return fail(state, "MHC210", span, "a tuple has no place in an expression");
    case "group":
      return expression(state, e.inner, scope, expected);
    case "path":
      return reference(state, e, scope, expected);
    case "index":
      return indexed(state, e, scope);
    case "unary":
      return { kind: "unary", f: "neg", a: expression(state, e.operand, scope, expected), span };
    case "where":
      return fail(
        state,
        "MHC212",
        span,
        "`where` without `else` stands only directly under a function along axes, as `sum`, which knows what to do " +
          "without a value",
        { fix: "say what the value is otherwise: `… where … else 0`" },
      );
    case "else":
      return choice(state, e, scope, expected);
    case "call":
      return call(state, e, scope, expected);
    case "binary":
      return binary(state, e, scope, expected);
    default:
      return e satisfies never;
  }
}

function binary(state: Elaboration, e: Binary, scope: Scope, expected: Expected): Typed {
  switch (e.op) {
    case "*":
    case "/":
      return product(state, e, scope, expected);
    case "^":
      if (/^(?:T|transpose)$/.test(bareName(e.right) ?? "") && !lookupBare(scope, e.right))
        return fail(state, "MHC201", e.right.span, "nothing is transposed: axes have names", {
          fix: "name them where it is used: `x[w, t]`",
        });
      break;
    case "%":
      if (isOfNumbers(e, scope)) return { kind: "scalar", scalar: scalarOf(state, e, scope), span: e.span };
      break;
    case "+":
    case "-":
      break;
    case ">":
    case ">=":
    case "<":
    case "<=":
    case "==":
    case "!=":
    case "and":
    case "or":
      return fail(state, "MHC210", e.span, "a comparison stands only in the condition of a `where`", {
        fix: "make a number of it: `1 where … else 0`",
      });
    default:
      return e.op satisfies never;
  }
  const a = expression(state, e.left, scope, expected);
  const f = e.op === "%" ? "mod" : e.op;
  return { kind: "binary", f, a, b: expression(state, e.right, scope, expected), span: e.span };
}

/** A chain of * and / as one product. */
function product(state: Elaboration, e: Expr, scope: Scope, expected: Expected): Typed {
  const factors: Factor[] = [];
  const groups: Factor[][] = [];
  const collect = (part: Expr, inverse: boolean): void => {
    if (part.kind === "group") {
      const first = factors.length;
      collect(part.inner, inverse);
      if (factors.length > first + 1) groups.push(factors.slice(first));
    } else if (part.kind === "binary" && part.op === "*" && !inverse) {
      collect(part.left, false);
      collect(part.right, false);
    } else if (part.kind === "binary" && part.op === "/" && !inverse) {
      collect(part.left, false);
      collect(part.right, true);
    } else factors.push({ e: expression(state, part, scope, expected), inverse });
  };
  collect(e, false);
  return { kind: "product", factors, summed: [], ...(groups.length ? { groups } : {}), span: e.span };
}
