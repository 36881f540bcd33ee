/**
 * What training leaves as it starts because the page says so: parameters whose declaration says `frozen`, and those
 * that `freeze` names, layer by layer.
 */
import { valueOf } from "../graph/sizes.js";
import { everyLayer, numbered, repeatsOf } from "./paths.js";
import { statementsIn } from "./statements.js";
import type { Parameter, Statement, TypedModel } from "./typed.js";

/** Whether a parameter is frozen in the layer that its name is of. */
export const isFrozen = (train: TypedModel["train"], parameter: Parameter, name: string): boolean =>
  parameter.frozen === true || train?.frozen.has(name) === true;

/** Which parameters are frozen in every layer. */
export function isFrozenWholly({
  train,
  statements,
}: Pick<TypedModel, "train" | "statements">): (parameter: Parameter) => boolean {
  const counts = layerCounts(statements);
  return (parameter) => namesOfLayers(parameter.name, counts).every((name) => isFrozen(train, parameter, name));
}

/** The names of all parameters that are frozen, with the numbers of layers. */
export function frozenNames({ train, parameters, statements }: TypedModel): ReadonlySet<string> {
  const counts = layerCounts(statements);
  return new Set(
    parameters.flatMap((parameter) =>
      namesOfLayers(parameter.name, counts).filter((name) => isFrozen(train, parameter, name)),
    ),
  );
}

/** Layers by the name of their `repeat`; null where a count depends on data that has not been read. */
export const layerCounts = (statements: readonly Statement[]): ReadonlyMap<string, number | null> =>
  new Map(
    statements.flatMap((statement): (readonly [string, number | null])[] => [
      ...(statement.kind === "repeat" ? [[statement.name, valueOf(statement.count)] as const] : []),
      ...layerCounts(statementsIn(statement)),
    ]),
  );

/** The names of a parameter in all layers; in the first alone, where it is not known how many there are. */
export const namesOfLayers = (name: string, counts: ReadonlyMap<string, number | null>): readonly string[] =>
  everyLayer(repeatsOf(name).map((repeat) => counts.get(repeat) ?? 1)).map((numbers) => numbered(name, numbers));
