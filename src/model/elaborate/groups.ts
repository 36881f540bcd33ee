/**
 * Parameters of a page that are trained otherwise than the rest: `group "*.mix.*" { rate = 10%, decay = 0 }` gives some
 * settings of their own, and `freeze embed, layers.0` leaves some as they start. Both are read when the page is whole,
 * since they name what it has.
 */
import type { Clause, Expr, NamedSetting, ParameterTarget, Section } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { OptimizerSettings, ParameterGroup } from "../typed.js";
import { attempt, type ModelDraft } from "./draft.js";
import { readGroupOptimizer } from "./optimizers.js";
import { flaggedTargets } from "./outside.js";
import { fail } from "./scope.js";
import { unknownSetting, type Reader } from "./setting-table.js";
import { parametersOf, textOf, type LayerParameter, type Targeting } from "./targets.js";

type GroupClause = Extract<Clause, { readonly kind: "group" }>;

/** What `--set train.freeze=…` says in place of the page, where it says that nothing is frozen. */
const NOTHING = "none";

/** A section whose groups are read. */
export interface TrainReading {
  readonly draft: ModelDraft;
  readonly section: Section;
  readonly targets: Targeting;
  readonly reader: Reader;
}

/** The groups of a section, with the page's settings where they say none. What is wrong is left out, and reported. */
export function groupsOf(grouping: TrainReading, page: OptimizerSettings): readonly ParameterGroup[] {
  const { draft, section, targets, reader } = grouping;
  const clauses = section.clauses.filter((clause): clause is GroupClause => clause.kind === "group");
  const taken = new Map<string, GroupClause>();
  return clauses.flatMap((clause) => {
    const group = attempt(draft, null, () => {
      const members = membersOf(targets, clause);
      refuseTaken(draft, clause, members, taken);
      return readGroup(clause, members, page, reader);
    });
    return group ? [group] : [];
  });
}

/** The parameters that a clause names, each once. */
function membersOf(targets: Targeting, { targets: listed }: GroupClause): readonly LayerParameter[] {
  const members = new Map(
    listed.flatMap((target) => parametersOf(targets, target)).map((found) => [found.name, found]),
  );
  return [...members.values()];
}

/** A parameter has one rate: one that is in a group already is refused. */
function refuseTaken(
  { state }: ModelDraft,
  clause: GroupClause,
  members: readonly LayerParameter[],
  taken: Map<string, GroupClause>,
): void {
  const both = members.filter(({ name }) => taken.has(name));
  for (const { name } of members) taken.set(name, taken.get(name) ?? clause);
  const [first] = both;
  if (!first) return;
  const others =
    both.length > 1 ? `, and so ${both.length === 2 ? "is another" : `are ${both.length - 1} others`}` : "";
  const before = taken.get(first.name) ?? clause;
  fail(
    state,
    "MHC202",
    headOf(clause),
    `\`${first.name}\` is in ${inWords(before)} and in ${inWords(clause)}${others}`,
    {
      notes: [{ message: "it is in this group", span: headOf(before) }],
      fix: "a parameter is in one group: write names that no other group has",
    },
  );
}

/** A group as it is written, without its settings. */
function inWords({ targets }: GroupClause): string {
  const listed = targets.map((target) => (target.kind === "string" ? `"${textOf(target)}"` : textOf(target)));
  return `\`group ${listed.join(", ")}\``;
}

/** The place of what a group is about, without its settings. */
const headOf = ({ targets, span }: GroupClause): GroupClause["span"] => ({
  ...span,
  end: mustAt(targets, targets.length - 1).span.end,
});

function readGroup(
  clause: GroupClause,
  members: readonly LayerParameter[],
  page: OptimizerSettings,
  reader: Reader,
): ParameterGroup | null {
  const written = new Map<string, Expr>();
  for (const setting of clause.settings) readSetting(setting, written, reader);
  if (clause.settings.length === 0)
    reader.report(
      diagnostic("MHC503", clause.span, "this group says nothing of its parameters", {
        fix: "write a setting, `{ rate = 10% }`, or take the group out",
      }),
    );
  const read = readGroupOptimizer(written, page, reader);
  if (!read) return null;
  const { optimizer, decaysAll } = read;
  const held = members.find(({ parameter }) => parameter.on);
  const decay = written.get("decay") ?? written.get("optimizer");
  if (decaysAll && optimizer.decay > 0 && held)
    reader.report(
      diagnostic("MHC502", decay?.span ?? clause.span, `\`${held.name}\` is on a set, which weight decay is not for`, {
        fix: "name the others alone, or take `decay` out",
      }),
    );
  return { optimizer, decaysAll, members: new Set(members.map(({ name }) => name)), span: headOf(clause) };
}

function readSetting({ name: { name, span }, value }: NamedSetting, written: Map<string, Expr>, reader: Reader): void {
  if (value.kind === "every") reader.report(diagnostic("MHC502", value.span, `\`every\` is not for \`${name}\``));
  else if (written.has(name)) reader.report(diagnostic("MHC202", span, `\`${name}\` is set twice`));
  else written.set(name, value);
  if (!GROUP_SETTINGS.includes(name)) unknownSetting(reader, { name, span }, GROUP_SETTINGS, "setting of a group");
}

/** What a group may say, whatever its optimizer. */
const GROUP_SETTINGS: readonly string[] = ["optimizer", "rate", "decay", "betas", "epsilon", "momentum", "nesterov"];

/**
 * Names of the parameters that the section freezes, or `--set train.freeze=…` in its place; `flag` is its text, null
 * when there is none.
 */
export function frozenOf({ draft, section, targets }: TrainReading, flag: string | null): ReadonlySet<string> {
  const written = section.clauses.flatMap((clause) => (clause.kind === "freeze" ? clause.targets : []));
  const listed = flag === null ? written : (attempt(draft, null, () => targetsIn(draft, flag)) ?? []);
  return new Set(listed.flatMap((target) => parametersOf(targets, target)).map(({ name }) => name));
}

const targetsIn = ({ state }: ModelDraft, flag: string): readonly ParameterTarget[] =>
  flag.trim() === NOTHING ? [] : flaggedTargets(state, "train.freeze", flag);
