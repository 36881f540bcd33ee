/**
 * What a kernel is called beside its time: whose work it does, with which of the block's parameters or of what kind,
 * and in which pass, as `layers.*.mlp: up, forward`. Names of kernels in a plan say only what shape they have, and with
 * numbers that change with the plan; this is read off the accounts of cost, so that it is the same for every run of a
 * page.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { ParameterInfo } from "../../runtime/plan.js";
import type { Account } from "../cost/account.js";
import { pathOf } from "../cost/cost.js";
import type { Origin } from "../graph/node.js";

/** Names that stand in one label. */
const LISTED = 3;

/** Labels by the index of the kernel; `accounts` are those of an entry's dispatches, in their order. */
export function labelsOf(
  accounts: readonly Account[],
  parameters: readonly Pick<ParameterInfo, "name" | "offset">[],
): ReadonlyMap<number, string> {
  const byKernel = new Map<number, Account[]>();
  for (const account of accounts) byKernel.set(account.kernel, [...(byKernel.get(account.kernel) ?? []), account]);
  const names = new Map(parameters.map(({ name, offset }) => [offset, pathOf(name)]));
  return new Map([...byKernel].map(([kernel, ofKernel]) => [kernel, labelOf(ofKernel, names)]));
}

function labelOf(accounts: readonly Account[], names: ReadonlyMap<number, string>): string {
  const work = accounts.flatMap((account) =>
    account.work.map(({ origin, kind, flops }) => ({ origin, kind: kind as string, size: flops })),
  );
  const moved = accounts.flatMap((account) =>
    account.traffic.map(({ origin, bytes }) => ({ origin, kind: "copies", size: bytes })),
  );
  // A kernel that computes nothing moves something.
  const parts = work.length ? work : moved;
  const owners = ranked(parts, ({ origin }) => keyOf(origin));
  const [owner] = owners;
  if (owner === undefined) return "nothing";
  const { path, phase } = owner.of;
  const prefix = path === "" ? "" : `${path}.`;
  const read = accounts.flatMap(({ traffic }) =>
    traffic.flatMap(({ pool, at }) => (pool === "state" ? (names.get(at) ?? []) : [])),
  );
  const parameters = [...new Set(read)]
    .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes("."))
    .map((name) => name.slice(prefix.length));
  const kinds = ranked(
    parts.filter(({ origin }) => keyOf(origin).text === owner.of.text),
    ({ kind }) => ({ text: kind }),
  );
  const what = phase !== "update" && parameters.length ? listed(parameters) : mustAt(kinds, 0).of.text;
  const whose = path === "" ? (phase === "update" ? "the optimizer" : "the page") : path;
  const others = new Set(owners.map(({ of }) => of.path)).size - 1;
  return `${whose}: ${what}, ${phase}${others ? `, and ${others} more` : ""}`;
}

const listed = (names: readonly string[]): string =>
  `${names.slice(0, LISTED).join(", ")}${names.length > LISTED ? ", …" : ""}`;

const keyOf = ({ block, phase }: Origin): { readonly text: string; readonly path: string; readonly phase: string } => ({
  text: `${pathOf(block)} ${phase}`,
  path: pathOf(block),
  phase,
});

/** Keys by the sizes of what they have, the largest first. */
function ranked<T extends { readonly size: number }, K extends { readonly text: string }>(
  parts: readonly T[],
  keyed: (part: T) => K,
): readonly { readonly of: K; readonly size: number }[] {
  const sums = new Map<string, { of: K; size: number }>();
  for (const part of parts) {
    const of = keyed(part);
    sums.set(of.text, { of, size: part.size + (sums.get(of.text)?.size ?? 0) });
  }
  return [...sums.values()].sort((a, b) => b.size - a.size || (a.of.text < b.of.text ? -1 : 1));
}
