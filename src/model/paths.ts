/**
 * Names of instances and parameters as paths: `layers.*.mlp.up` is what every layer of a repeat has, `layers.2.mlp.up`
 * what one of them has.
 */
import { numberOf } from "../graph/sizes.js";
import { statementsIn, type RepeatStatement } from "./statements.js";
import type { Statement } from "./typed.js";

/** Whether a name is inside of a path, or is it. */
export const inside = (name: string, path: string): boolean =>
  path === "" || name === path || name.startsWith(`${path}.`);

/** `layers.*.mlp.up` as it is written in a claim: `mlp.up`. */
export const written = (name: string): string => name.replace(/[^.]+\.\*\./g, "");

/** `layers.*.mlp.up` with its repeats: `layers.mlp.up`. */
export const withRepeats = (name: string): string => name.replace(/\.\*/g, "");

/** The repeats that a name stands inside of, outermost first: `layers` of `layers.*.mlp.up`. */
export const repeatsOf = (name: string): readonly string[] =>
  [...name.matchAll(/([^.]+)\.\*/g)].flatMap(([, repeat]) => repeat ?? []);

/** A name with the numbers of the layers in place of its stars. */
export function numbered(name: string, numbers: readonly number[]): string {
  let at = 0;
  return name.replace(/\*/g, () => `${numbers[at++]}`);
}

/** Every combination of the layers of repeats, the outermost first. */
export const everyLayer = (counts: readonly number[]): readonly (readonly number[])[] =>
  counts.reduce<readonly (readonly number[])[]>(
    (outer, count) => outer.flatMap((numbers) => Array.from({ length: count }, (_, i) => [...numbers, i])),
    [[]],
  );

/** Layers by the name of their `repeat`. */
export function countsOf(statements: readonly Statement[]): Map<string, number> {
  return new Map(
    statements.flatMap((statement): (readonly [string, number])[] => [
      ...(statement.kind === "repeat" ? [[statement.name, numberOf(statement.count)] as const] : []),
      ...countsOf(statementsIn(statement)),
    ]),
  );
}

/** The path of a `repeat` inside of another path ("" for the page): `layers.*`, or `layers` of one that is shared. */
export const pathOfRepeat = (outer: string, { name, shared }: Pick<RepeatStatement, "name" | "shared">): string =>
  `${outer}${outer && "."}${name}${shared ? "" : ".*"}`;
