/**
 * What is measured beside training: what the entry `monitor` watches of a page, and what `mhc verify` measures gains
 * by.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import type { Chain } from "../graph/streams.js";
import type { Lowered } from "../model/lower/lower.js";
import { streamsIn } from "../model/quantities.js";
import { fuseAttention } from "../passes/attention.js";
import { claimed, SHARPER } from "./claims.js";
import { forwardForGains, type EntryPage } from "./forward.js";
import { gains } from "./gains.js";
import { monitors } from "./monitors.js";
import { reach } from "./reach.js";
import { entryGraph, inputId, type EntryGraph, type Output } from "./roles.js";

/**
 * What the entry `monitor` measures: monitored claims alone, gains and mixes too, or all that can be measured of what
 * the page promises.
 */
export type Monitors = boolean | "all";

/**
 * The outputs of `monitor`, all scalars. What monitored claims are about is always measured, and gains and mixes where
 * they are asked for; with "all", proved claims are measured too, and how far free coordinates reach (`reach.ts`).
 */
export function watchedOutputs(
  b: Builder,
  { model }: EntryPage,
  { chains, uses, weights, repeats }: Lowered,
  asked: Monitors,
): readonly Output[] {
  const isAll = asked === "all";
  const claims = isAll ? model.claims : model.claims.filter(({ monitored }) => monitored);
  if (!asked && !claims.length) return [];
  // Of streams of one name the last counts.
  const watched = [...new Map(monitors(b, chains).map((monitored) => [monitored.id, monitored])).values()];
  const gainsOf = new Map<string, Node[]>();
  for (const { role, node } of watched) {
    if (role.measure === "gain") gainsOf.set(role.stream, [...(gainsOf.get(role.stream) ?? []), node]);
  }
  return [
    ...(asked ? watched : []),
    ...claimed(b, claims, { gains: gainsOf, weights, repeats, ...(isAll ? { turns: SHARPER } : {}) }),
    ...(isAll ? reach(b, uses) : []),
  ];
}

/**
 * What `mhc verify` measures gains by: `gain`, of every stream with a claim on it, and of those that mix lanes; and
 * `claims`, what gains are claimed together with, of the measured ones as inputs (`gain:x`).
 */
export function gainGraphs(b: Builder, page: EntryPage, { chains, weights, repeats }: Lowered): readonly EntryGraph[] {
  const claims = page.model.claims.filter(({ quantity }) => streamsIn(quantity).length > 0);
  const claimedStreams = new Set(claims.flatMap(({ quantity }) => streamsIn(quantity)));
  const isMeasured = (chain: Chain): boolean =>
    chain.some(
      ({ stream, mix, before }) => claimedStreams.has(stream) || (mix.kind !== "identity" && before.shape.length > 3),
    );
  if (!chains.some(isMeasured)) return [];
  const apart = forwardForGains(page);
  const sums = gains(apart.b, apart.lowered.chains.filter(isMeasured), apart.lowered.held);
  const { roles, ...graph } = entryGraph("gain", sums.outputs, { inputs: sums.inputs });
  const gain = { ...fuseAttention(graph, undefined, page.attention).graph, roles };
  if (!claims.length) return [gain];
  const inputs = [...claimedStreams].map((stream) => ({ kind: "gain", stream }) as const);
  const measured = new Map(inputs.map((role) => [role.stream, [b.input(inputId(role), [], "f32")]]));
  const outputs = claimed(b, claims, { gains: measured, weights, repeats, turns: SHARPER });
  return [gain, entryGraph("claims", outputs, { inputs })];
}
