/**
 * Numbers over the steps of a run: a rate, or an option of a manifold that is scheduled. One that changes is written as
 * a call: `cosine(1e-3, 1e-4, warmup = 100)`, `wsd(1e-3, 0, decay = 30%)`, `pieces((0%, 0), (5%, 1e-3), (100%, 1e-4))`.
 */
import type { Arg, Call, Expr } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { diagnostic } from "../../diagnostics/table.js";
import { SHAPES, stepsIn, type Pieces, type RunPart, type FallShape, type Staying } from "../../graph/schedules.js";
import type { RateSettings } from "../typed.js";
import { namedArguments, numberWithin, unknownSetting, type Reader } from "./setting-table.js";
import { dotted } from "./syntax.js";

/** The ways to change, each with an example. */
const CHANGING = {
  cosine: "cosine(1e-3, 1e-4, warmup = 100)",
  linear: "linear(1e-3, 1e-4, warmup = 100)",
  wsd: "wsd(1e-3, 0, warmup = 100, decay = 30%)",
  pieces: "pieces((0%, 0), (5%, 1e-3), (100%, 1e-4))",
} as const;
const WAYS = ["cosine", "linear", "wsd", "pieces"] as const satisfies readonly (keyof typeof CHANGING)[];

/** The part of a run in which `wsd` falls when the page does not say. */
const FALL: RunPart = { kind: "share", share: 0.2 };

/** Reads a number that a schedule is made of: the one that stays (`rate`), an end, or that of a point. */
export type ReadEnd = (name: "rate" | "from" | "to" | "peak" | "end" | "point", e: Expr) => number | null;

/**
 * A number, or one that goes from one to another over the run; null when it is wrong, which is reported. `what`: what
 * it is, in the plural. Where the reader knows the length of the run, what does not fit into it is reported.
 */
export function readSchedule(e: Expr, what: string, reader: Reader, readEnd: ReadEnd): RateSettings | null {
  if (e.kind !== "call") {
    const value = readEnd("rate", e);
    return value === null ? null : { kind: "constant", value };
  }
  const name = dotted(e.callee);
  const way = WAYS.find((other) => other === name);
  if (way) {
    const schedule = readChanging(e, way, reader, readEnd);
    return schedule && fitsRun(e, schedule, reader) ? schedule : null;
  }
  if (name === "constant")
    reader.report(
      diagnostic("MHC501", e.span, `\`constant\` is not a schedule of ${what}: a number by itself stays`, {
        fix: "write the number: `rate = 1e-3`",
      }),
    );
  else unknownSetting(reader, { name, span: e.callee.span }, WAYS, `schedule of ${what}`);
  return null;
}

function readChanging(
  e: Call,
  way: (typeof WAYS)[number],
  reader: Reader,
  readEnd: ReadEnd,
): Exclude<RateSettings, { readonly kind: "constant" }> | null {
  switch (way) {
    case "cosine":
    case "linear": {
      const args = argumentsIn(e, way, ["from", "to"], ["warmup"], reader);
      const ends = args && readEnds(args, ["from", "to"], readEnd);
      const warmup = args && readWarmup(args, reader);
      return !ends || warmup === null ? null : { kind: way, ...ends, warmup };
    }
    case "wsd":
      return readStaying(e, reader, readEnd);
    case "pieces":
      return readPieces(e, reader, readEnd);
    default:
      return way satisfies never;
  }
}

type Arguments = ReadonlyMap<string, Expr>;

/** The arguments of a schedule by name; null where one of its two ends is missing, which is reported. */
function argumentsIn(
  e: Call,
  way: keyof typeof CHANGING,
  ends: readonly string[],
  options: readonly string[],
  reader: Reader,
): Arguments | null {
  const settings = { names: [...ends, ...options], order: ends, what: `\`${way}\`` };
  const args = namedArguments(e.lists.flat(), settings, reader);
  const missing = ends.find((end) => !args.has(end));
  if (missing === undefined) return args;
  if (!args.has(`?${missing}`))
    reader.report(
      diagnostic("MHC503", e.span, `\`${way}\` needs \`${missing}\``, { fix: `write \`${CHANGING[way]}\`` }),
    );
  return null;
}

function readEnds(
  args: Arguments,
  names: readonly ["from" | "peak", "to" | "end"],
  readEnd: ReadEnd,
): { readonly from: number; readonly to: number } | null {
  const [from, to] = names.map((name) => {
    const e = args.get(name);
    return e ? readEnd(name, e) : null;
  });
  return from === null || from === undefined || to === null || to === undefined ? null : { from, to };
}

function readWarmup(args: Arguments, reader: Reader): number | null {
  const e = args.get("warmup");
  return e ? numberWithin(reader, "warmup", e) : 0;
}

function readStaying(e: Call, reader: Reader, readEnd: ReadEnd): Staying | null {
  const args = argumentsIn(e, "wsd", ["peak", "end"], ["warmup", "decay", "shape"], reader);
  if (!args) return null;
  const ends = readEnds(args, ["peak", "end"], readEnd);
  const warmup = readWarmup(args, reader);
  const fall = args.get("decay");
  const decay = fall ? readPart(fall, "`decay` of `wsd`", 1, reader) : FALL;
  const shape = readShape(args.get("shape"), reader);
  return ends && warmup !== null && decay && shape ? { kind: "wsd", ...ends, warmup, decay, shape } : null;
}

function readShape(e: Expr | undefined, reader: Reader): FallShape | null {
  if (!e) return "linear";
  const name = e.kind === "path" ? dotted(e) : "this";
  const shape = SHAPES.find((other) => other === name);
  if (shape) return shape;
  unknownSetting(reader, { name, span: e.span }, SHAPES, "shape of a fall");
  return null;
}

/** A share of the run, or a whole number of steps from `least` on. */
function readPart(e: Expr, what: string, least: number, reader: Reader): RunPart | null {
  const value = reader.number(e);
  if (value === null) return null;
  const isShare = e.kind === "number" && e.percent;
  if (isShare && value <= 1 && (value > 0 || least === 0)) return { kind: "share", share: value };
  if (!isShare && Number.isInteger(value) && value >= least) return { kind: "steps", steps: value };
  const isFraction = !isShare && value > 0 && value < 1;
  reader.report(
    diagnostic(
      "MHC502",
      e.span,
      `${what} is a share of the run${least ? " above 0%" : ""}, or a whole number of steps, and this is ` +
        (e.kind === "number" ? e.text : `${value}`),
      { fix: isFraction ? `write \`${+(100 * value).toPrecision(6)}%\`` : null },
    ),
  );
  return null;
}

function readPieces(e: Call, reader: Reader, readEnd: ReadEnd): Pieces | null {
  const args = e.lists.flat();
  const points = args.map((arg) => readPoint(arg, reader, readEnd));
  if (args.length < 2) {
    reader.report(
      diagnostic("MHC503", e.span, "`pieces` needs two points at least", { fix: `write \`${CHANGING.pieces}\`` }),
    );
    return null;
  }
  if (!points.every((point) => point !== null)) return null;
  if (points.some(({ value }) => value !== mustAt(points, 0).value)) return { kind: "pieces", points };
  reader.report(
    diagnostic("MHC502", e.span, "all points have the same number, so nothing changes", {
      fix: "write the number by itself",
    }),
  );
  return null;
}

function readPoint({ name, value, span }: Arg, reader: Reader, readEnd: ReadEnd): Pieces["points"][number] | null {
  const [place, number, ...further] = !name && value.kind === "tuple" ? value.items : [];
  if (!place || !number || further.length) {
    reader.report(
      diagnostic("MHC502", span, "a point of `pieces` is a place in the run and a number there", {
        fix: "write `(5%, 1e-3)`, or with the number of a step `(100, 1e-3)`",
      }),
    );
    return null;
  }
  const at = readPart(place, "the place of a point", 0, reader);
  const there = readEnd("point", number);
  return at && there !== null ? { at, value: there } : null;
}

/**
 * Whether what a schedule says of the steps can be: points ascend, and nothing lies beyond the run. What cannot be is
 * reported. Places of one kind can be compared without the length of the run.
 */
export function fitsRun(e: Call, schedule: RateSettings, reader: Reader): boolean {
  const { steps = null } = reader;
  if (schedule.kind === "pieces") return fitPoints(e, schedule, reader);
  if (schedule.kind !== "wsd" || steps === null || stepsIn(schedule.decay, steps) <= steps) return true;
  reader.report(
    diagnostic(
      "MHC502",
      e.span,
      `the fall of this \`wsd\` takes ${stepsIn(schedule.decay, steps)} steps, and the run has ${steps}`,
      { fix: "write a share of the run: `decay = 20%`" },
    ),
  );
  return false;
}

function fitPoints(e: Call, { points }: Pieces, { steps = null, report }: Reader): boolean {
  const spans = e.lists.flat().map(({ span }) => span);
  for (const [i, { at }] of points.entries()) {
    const before = i > 0 ? mustAt(points, i - 1).at : null;
    const span = mustAt(spans, i);
    if (steps !== null && stepsIn(at, steps) > steps) {
      report(
        diagnostic("MHC502", span, `this point is at step ${stepsIn(at, steps)}, and the run has ${steps}`, {
          fix: "write its place as a share of the run: `100%` is the end",
        }),
      );
      return false;
    }
    if (!before || (steps === null && before.kind !== at.kind)) continue;
    const length = steps ?? 1;
    if (stepsIn(at, length) > stepsIn(before, length)) continue;
    report(
      diagnostic("MHC502", span, "the points of `pieces` ascend, and this one is not behind the one before it", {
        notes: [{ message: "the point before it", span: mustAt(spans, i - 1) }],
      }),
    );
    return false;
  }
  return true;
}
