/**
 * Which activations are recomputed. Recompute costs time and changes nothing else, so a page that says nothing gets
 * none: most models of this size fit as they are. `recompute = auto` takes the segments of the mHC paper, `every k`
 * takes those that it names, and `memory <= X` takes the fastest plan that fits: the fewest segments, since all but the
 * last are computed twice. Memory falls with the number of segments down to about the paper's number and rises after
 * it; both halves are searched by planning, not by a formula, since a plan holds much besides streams. All devices get
 * the same segments, and the largest of them must fit.
 */
import { showBytes } from "../../grammar/units.js";
import { mustAt } from "../../runtime/lookup.js";
import { bytesOfPools, wordBytes, type PoolName } from "../../runtime/plan.js";
import type { Span } from "../diagnostics/span.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import type { Entries } from "../step/entries.js";
import type { Graph } from "../graph/node.js";
import type { Chain } from "../graph/streams.js";
import type { TrainSettings } from "../model/typed.js";
import { paperLength, recompute } from "../passes/recompute.js";
import type { Scheduled } from "../schedule/plan.js";

/** A model that fits: its graphs with what is recomputed in them, and their schedules. */
export interface Fitted {
  readonly graphs: readonly Graph[];
  /** One for every device. */
  readonly scheduled: readonly Scheduled[];
  /** What was chosen, in words. */
  readonly recompute: string;
}

type Length = (chain: Chain) => number;
type Planner = (graphs: readonly Graph[]) => readonly Scheduled[];

/** What the largest device must allocate. */
const bytesOf = ({ scheduled }: Fitted): number => Math.max(...scheduled.map(({ pools }) => bytesOfPools(pools)));

/** What a device profile has room for: in all, and in one pool, which is one binding. Null where it does not say. */
export interface Room {
  readonly profile: string;
  readonly bytes: number | null;
  readonly binding: number | null;
  readonly span: Span;
}

/** What a plan must fit into. */
interface Limit {
  readonly fits: (fitted: Fitted) => boolean;
  /** What is compared when nothing fits yet. */
  readonly size: (fitted: Fitted) => number;
  /** `2 GiB are allowed` */
  readonly words: string;
  readonly most: number;
  readonly span: Span;
}

const largestPool = ({ scheduled }: Fitted): number =>
  Math.max(
    ...scheduled.flatMap(({ pools }) =>
      (Object.keys(wordBytes) as PoolName[]).map((name) => wordBytes[name] * pools[name]),
    ),
  );

/** The page's bound, and what the device has, of memory and of one binding. */
function limitsOf(memory: TrainSettings["memory"] | null, room: Room | null): Limit[] {
  const limits: Limit[] = [];
  const add = (size: Limit["size"], most: number, span: Span, words: string): void =>
    void limits.push({ fits: (fitted) => size(fitted) <= most, size, most, span, words });
  if (memory) add(bytesOf, memory.bytes, memory.span, `${showBytes(memory.bytes)} are allowed`);
  if (room?.bytes) add(bytesOf, room.bytes, room.span, `\`${room.profile}\` has ${showBytes(room.bytes)}`);
  if (room?.binding)
    add(largestPool, room.binding, room.span, `one binding of \`${room.profile}\` holds ${showBytes(room.binding)}`);
  return limits;
}

/** The plan that the page asks for and the device has room for, or why there is none. */
export function fit(
  entries: Entries,
  train: Pick<TrainSettings, "recompute" | "memory"> | null,
  room: Room | null,
  plan: Planner,
): Fitted | Diagnostic {
  const chains = [...entries.forwards.values()].flatMap(({ chains: own }) => own);
  const planWith = (every: Length): Fitted => {
    const graphs = entries.graphs.map((graph) => {
      const forward = entries.forwards.get(graph.name);
      return forward?.chains.some((chain) => every(chain) < chain.length) ? recompute(graph, forward, every) : graph;
    });
    return { graphs, scheduled: plan(graphs), recompute: inWords(chains, every) };
  };
  const off: Length = (chain) => chain.length;
  const wish = train?.recompute ?? null;
  const limits = limitsOf(train?.memory ?? null, room);
  const free = wish === null || wish.kind === "auto";
  // Without a bound of its own, `auto` takes the paper's segments whatever the device has.
  const fixed = (): Fitted =>
    planWith(wish === null || wish.kind === "off" ? off : wish.kind === "auto" ? paperLength : () => wish.count);
  if (free && limits.length && (train?.memory || wish === null)) return fastest(chains, planWith, limits);
  const fitted = fixed();
  const broken = limits.find(({ fits }) => !fits(fitted));
  return broken
    ? tooLarge(fitted, broken, "takes", "`memory` chooses the segments itself when `recompute` is `auto` or left out")
    : fitted;
}

/** The fewest segments with which a plan fits. */
function fastest(
  chains: readonly Chain[],
  planWith: (every: Length) => Fitted,
  limits: readonly Limit[],
): Fitted | Diagnostic {
  const cuts = differentCuts(chains);
  const planned = new Map<number, Fitted>();
  const plan = (at: number): Fitted => {
    const fitted = planned.get(at) ?? planWith(mustAt(cuts, at));
    planned.set(at, fitted);
    return fitted;
  };
  const fits = (at: number): boolean => limits.every((limit) => limit.fits(plan(at)));
  // Of several limits, the one that is missed by most.
  const excess = (at: number): number => Math.max(...limits.map(({ size, most }) => size(plan(at)) / most));
  const smaller = (at: number, than: number): boolean => at >= 0 && at < cuts.length && excess(at) < excess(than);
  if (fits(0)) return plan(0);
  let enough = cuts.findIndex((every) => chains.every((chain) => every(chain) <= paperLength(chain)));
  if (!fits(enough)) {
    // The paper counts streams only: with all else that a plan holds, a few segments more or less may take less.
    const step = smaller(enough + 1, enough) ? 1 : -1;
    while (!fits(enough) && smaller(enough + step, enough)) enough += step;
    const least = plan(enough);
    const broken = limits.find((limit) => !limit.fits(least));
    return broken ? tooLarge(least, broken, "takes at least", "a smaller batch, context or width needs less") : least;
  }
  let tooFew = 0;
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >> 1;
    if (fits(middle)) enough = middle;
    else tooFew = middle;
  }
  return plan(enough);
}

/** One segment a chain, two, three, … up to one a connection, without those that come to the same lengths. */
function differentCuts(chains: readonly Chain[]): Length[] {
  const longest = Math.max(1, ...chains.map((chain) => chain.length));
  const cuts = Array.from(
    { length: longest },
    (_, i): Length =>
      (chain) =>
        Math.ceil(chain.length / (i + 1)),
  );
  const lengths = cuts.map((every) => chains.map(every).join());
  return cuts.filter((_, i) => lengths.indexOf(mustAt(lengths, i)) === i);
}

function tooLarge(least: Fitted, { size, words, span }: Limit, takes: string, fix: string): Diagnostic {
  const bytes = size(least);
  const largest = least.scheduled.findIndex((scheduled) => size({ ...least, scheduled: [scheduled] }) === bytes);
  const state = wordBytes.state * mustAt(least.scheduled, largest).pools.state;
  const parts =
    size === bytesOf
      ? `: ${showBytes(state)} are parameters and the optimizer's state, ${showBytes(bytes - state)} are what a ` +
        "step computes"
      : "";
  return diagnostic(
    "MHC504",
    span,
    `the plan ${takes} ${showBytes(bytes)}${size === bytesOf ? "" : " in one pool"} (recompute: ` +
      `${least.recompute}), and ${words}${parts}`,
    { fix },
  );
}

function inWords(chains: readonly Chain[], every: Length): string {
  const cut = new Set(
    chains
      .filter((chain) => every(chain) < chain.length)
      .map((chain) => `every ${every(chain)} of ${chain.length} connections`),
  );
  return cut.size ? [...cut].join(", ") : "off";
}
