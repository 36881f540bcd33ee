/**
 * Numbers over the steps of a run: a rate, or an option of a manifold that is scheduled. One that falls is written as a
 * call, `cosine(1e-3, 1e-4, warmup = 100)`.
 */
import type { Call, Expr } from "../../../grammar/ast.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { RateSettings } from "../typed.js";
import { namedArguments, numberWithin, unknownSetting, type Reader } from "./setting-table.js";
import { dotted } from "./syntax.js";

/** The ways to fall. */
const FALLING = ["cosine", "linear"] as const;

/** Reads a number that a schedule is made of: the one that stays (`rate`), or an end. Null when it is wrong. */
export type ReadEnd = (name: "rate" | "from" | "to", e: Expr) => number | null;

/**
 * A number, or one that goes from one to another over the run; null when it is wrong, which is reported. `what`: what
 * it is, in the plural.
 */
export function readSchedule(e: Expr, what: string, reader: Reader, readEnd: ReadEnd): RateSettings | null {
  if (e.kind !== "call") {
    const value = readEnd("rate", e);
    return value === null ? null : { kind: "constant", value };
  }
  const name = dotted(e.callee);
  const kind = FALLING.find((falling) => falling === name);
  if (kind) return readFalling(e, kind, reader, readEnd);
  if (name === "constant")
    reader.report(
      diagnostic("MHC501", e.span, `\`constant\` is not a schedule of ${what}: a number by itself stays`, {
        fix: "write the number: `rate = 1e-3`",
      }),
    );
  else unknownSetting(reader, { name, span: e.callee.span }, FALLING, `schedule of ${what}`);
  return null;
}

function readFalling(e: Call, kind: (typeof FALLING)[number], reader: Reader, readEnd: ReadEnd): RateSettings | null {
  const settings = { names: ["from", "to", "warmup"], order: ["from", "to"], what: `\`${kind}\`` };
  const args = namedArguments(e.lists.flat(), settings, reader);
  const [fromExpr, toExpr, warmupExpr] = [args.get("from"), args.get("to"), args.get("warmup")];
  if (!fromExpr || !toExpr) {
    reader.report(
      diagnostic("MHC503", e.span, `\`${kind}\` needs \`${fromExpr ? "to" : "from"}\``, {
        fix: `write \`${kind}(1e-3, 1e-4, warmup = 100)\``,
      }),
    );
    return null;
  }
  const from = readEnd("from", fromExpr);
  const to = readEnd("to", toExpr);
  const warmup = warmupExpr ? numberWithin(reader, "warmup", warmupExpr) : 0;
  return from === null || to === null || warmup === null ? null : { kind, from, to, warmup };
}
