/**
 * The `train` section: its settings, their defaults, and what must be said. A setting that there is not, that stands
 * twice or that makes no sense is an error at its place. `--set train.steps=50` goes through the same checks.
 */
import type { Every, Expr, Section } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { parseBytes, units } from "../../../grammar/units.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { RecomputeSettings, TrainSettings } from "../typed.js";
import { OPTIMIZER_SETTINGS, readOptimizer } from "./optimizers.js";
import { numberWithin, TRAIN_SETTINGS, unknownSetting, type Overrides, type Reader } from "./setting-table.js";
import { dotted, type BoundClause, type SettingClause } from "./syntax.js";

/** What `--set train.…` takes as settings: those of the section, and those of any optimizer. */
export const OVERRIDES: readonly string[] = [...new Set([...TRAIN_SETTINGS, "memory", ...OPTIMIZER_SETTINGS])];

/** The section but for what names parameters of the page. */
export type TrainNumbers = Omit<TrainSettings, "groups" | "frozen">;

/** Settings that must be there, each with an example. */
const REQUIRED = [
  ["batch", "12"],
  ["steps", "1000"],
  ["optimizer", "adamw(rate = 1e-3)"],
] as const;

/** The section as it is written, by setting. */
interface WrittenTrain {
  /** Settings that are expressions. */
  readonly settings: Map<string, Expr>;
  /** Settings that are likely meant by names that there are not. */
  readonly misnamed: Set<string>;
  recompute: Expr | Every | null;
  memory: BoundClause | null;
}

/**
 * The settings of a page; groups and what is frozen are read elsewhere (`groups.ts`). Errors are reported; null when
 * the batch, the steps, the seed or the optimizer has one.
 */
export function readTrain(section: Section, overrides: Overrides, reader: Reader): TrainNumbers | null {
  const written: WrittenTrain = { settings: new Map(), misnamed: new Set(), recompute: null, memory: null };
  for (const clause of section.clauses) {
    if (clause.kind === "bound") readBound(written, clause, reader);
    else if (clause.kind === "setting") readSetting(written, clause, reader);
    else if (clause.kind !== "group" && clause.kind !== "freeze")
      reader.report(diagnostic("MHC501", clause.span, "a setting has the form `name = value`"));
  }
  override(written, overrides, reader);
  const { settings } = written;
  const optimizerExpr = settings.get("optimizer");
  if (isLacking(written, section, reader) || !optimizerExpr) return null;
  const numberOf = (name: "batch" | "steps" | "seed" | "clip", otherwise: number | null): number | null => {
    const e = settings.get(name);
    return e ? numberWithin(reader, name, e) : otherwise;
  };
  const batch = numberOf("batch", null);
  const steps = numberOf("steps", null);
  const seed = numberOf("seed", 1337);
  const clip = numberOf("clip", null);
  const optimizer = readOptimizer(optimizerExpr, overrides, { ...reader, steps });
  const recompute = readRecompute(written.recompute, reader);
  const precision = readPrecision(settings.get("precision") ?? null, reader);
  const memory = readMemory(written.memory, reader);
  if (batch === null || steps === null || seed === null || !optimizer) return null;
  return { batch, steps, seed, clip, optimizer, recompute, memory, precision };
}

function readBound(written: WrittenTrain, clause: BoundClause, reader: Reader): void {
  const { left } = clause;
  const name = left.kind === "path" ? dotted(left) : "this";
  if (name !== "memory") unknownSetting(reader, { name, span: left.span }, ["memory"], "bound of `train`");
  else if (written.memory) reader.report(diagnostic("MHC202", left.span, "`memory` is bounded twice"));
  else written.memory = clause;
}

function readSetting(written: WrittenTrain, clause: SettingClause, reader: Reader): void {
  const { value } = clause;
  const { name, span } = clause.name;
  if (name === "recompute") {
    if (written.recompute) reader.report(diagnostic("MHC202", span, "`recompute` is set twice"));
    else written.recompute = value;
  } else if (name === "memory") {
    reader.report(
      diagnostic("MHC501", clause.span, "`memory` is a bound, not a setting", { fix: "write `memory <= 2 GiB`" }),
    );
  } else if (value.kind === "every") {
    reader.report(everyElsewhere(value, name));
  } else if (!isTrainSetting(name)) {
    written.misnamed.add(unknownSetting(reader, clause.name, TRAIN_SETTINGS, "setting of `train`"));
  } else if (written.settings.has(name)) {
    reader.report(diagnostic("MHC202", span, `\`${name}\` is set twice`));
  } else written.settings.set(name, value);
}

const isTrainSetting = (name: string): boolean => TRAIN_SETTINGS.some((setting) => setting === name);

const everyElsewhere = ({ span }: Every, name: string): Diagnostic =>
  diagnostic("MHC502", span, `\`every\` is for \`recompute\`, not for \`${name}\``);

/** Puts what flags say in place of what is written. */
function override(written: WrittenTrain, overrides: Overrides, reader: Reader): void {
  for (const [name, value] of overrides) {
    if (name === "recompute") written.recompute = value;
    else if (value.kind === "every") reader.report(everyElsewhere(value, name));
    else if (name === "memory") written.memory = memoryBound(value);
    else if (isTrainSetting(name)) written.settings.set(name, value);
  }
}

/** Whether a setting is missing that must be there: the first such is reported. */
function isLacking({ settings, misnamed }: WrittenTrain, section: Section, reader: Reader): boolean {
  const lacking = REQUIRED.find(([name]) => !settings.has(name));
  if (!lacking) return false;
  const [name, example] = lacking;
  // A setting that stands there under a wrong name has been reported.
  if (!misnamed.has(name))
    reader.report(
      diagnostic("MHC503", section.name.span, `\`train\` does not say \`${name}\``, {
        fix: `add \`${name} = ${example}\``,
      }),
    );
  return true;
}

/** A bound that stands in a flag: `--set train.memory="2 GiB"`. */
const memoryBound = (right: Expr): BoundClause => ({
  kind: "bound",
  left: { kind: "path", parts: [{ name: "memory", span: right.span }], span: right.span },
  right,
  shared: false,
  monitored: false,
  span: right.span,
});

const PRECISIONS = ["f16", "bf16", "auto"] as const;

/** A precision other than f32; null where the page says that, or nothing. */
function readPrecision(e: Expr | null, reader: Reader): TrainSettings["precision"] {
  if (e === null) return null;
  const written = e.kind === "path" ? dotted(e) : "";
  const word = PRECISIONS.find((name) => name === written);
  if (word === undefined && written !== "f32") {
    reader.report(
      diagnostic("MHC502", e.span, `${written ? `\`${written}\`` : "this"} is not a precision`, {
        fix:
          "there are `f32`, `f16`: activations in half precision, sums and parameters in f32, `auto`: f16 " +
          "where the device profile has it, and `bf16`: operands of products in bf16, sums and all else in f32",
      }),
    );
  }
  return word === undefined ? null : { word, span: e.span };
}

/** `auto`, `off` or `every 6`. */
function readRecompute(e: Expr | Every | null, reader: Reader): RecomputeSettings | null {
  if (e === null) return null;
  if (e.kind === "every") {
    const every = numberWithin(reader, "every", e.count);
    return every === null ? null : { kind: "every", count: every };
  }
  const word = e.kind === "path" ? dotted(e) : "";
  if (word === "auto" || word === "off") return { kind: word };
  const fix =
    word === "every"
      ? "say how many connections a segment has: `recompute = every 6`"
      : "there are `auto`, `off` and `every 6`: segments of six connections";
  reader.report(
    diagnostic("MHC502", e.span, `${word ? `\`${word}\`` : "this"} does not say what to recompute`, { fix }),
  );
  return null;
}

/** `memory <= 2 GiB` */
function readMemory(clause: BoundClause | null, reader: Reader): TrainSettings["memory"] {
  if (!clause) return null;
  if (clause.shared) {
    reader.report(
      diagnostic("MHC502", clause.span, "`memory` is one budget, and nobody shares it", { fix: "take `shared` out" }),
    );
    return null;
  }
  if (clause.monitored) {
    reader.report(
      diagnostic("MHC502", clause.span, "`memory` is planned, so there is nothing to monitor", {
        fix: "take `monitored` out",
      }),
    );
    return null;
  }
  const size = parseBytes(clause.right.kind === "number" ? clause.right.text : "");
  if (size && size.bytes > 0) return { bytes: size.bytes, span: clause.span };
  const unit = size ? mustAt(size.text.split(" "), 1) : null;
  const guess = unit === null ? null : nearest(unit, units);
  const what =
    size && Number.isNaN(size.bytes) ? `\`${unit}\` is not a unit of memory` : "`memory` is bounded by a size above 0";
  const fix = guess
    ? `did you mean \`${guess}\`?`
    : "write a number and its unit: `memory <= 2 GiB`, or MiB, KiB, GB, MB, kB";
  reader.report(diagnostic("MHC502", clause.right.span, what, { fix }));
  return null;
}
