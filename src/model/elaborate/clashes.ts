/**
 * Names that a run or its files need themselves. The scalars of a run stand among the inputs of its steps, the gates of
 * a page that shrinks among what is trained, and the notes of a checkpoint among its tensors: so a page that has these
 * cannot give their names to an input or a parameter. Any other name is the page's to give.
 */
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { Parameter, Tensor } from "../typed.js";
import type { Span } from "../../diagnostics/span.js";

/** What a page names, and which of the things that a run names it has. */
export interface PageNames {
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Parameter[];
  /** Where the page has a schedule, a function of the step; null when it has none. */
  readonly schedule: Span | null;
  /** Whether it has a loss and says how it is trained. */
  readonly trains: boolean;
  /** Whether it lets units or layers be switched off. */
  readonly shrinks: boolean;
}

/** Errors for inputs and parameters whose names a run of the page has itself. */
export function clashesOf({ inputs, parameters, schedule, trains, shrinks }: PageNames): Diagnostic[] {
  const input = (name: string, what: string, notes: Diagnostic["notes"] = []): Diagnostic[] =>
    inputs
      .filter((tensor) => tensor.name === name)
      .map(({ span }) =>
        diagnostic("MHC202", span, `\`${name}\` is ${what}`, { notes, fix: "give the input another name" }),
      );
  const parameter = (name: string, what: string): Diagnostic[] =>
    parameters
      .filter((parameter) => parameter.name === name)
      .map(({ tensor: { span } }) =>
        diagnostic("MHC202", span, `\`${name}\` is ${what}`, { fix: "give the parameter another name" }),
      );
  return [
    ...(schedule
      ? input("step", "the number of the step, which a schedule of this page is a function of", [
          { message: "this schedule", span: schedule },
        ])
      : trains
        ? input("step", "the number of the step, which the update of this page's training is a function of")
        : []),
    ...(shrinks
      ? [
          ...input("seed", "the seed of the run, which the gates of this page are drawn by"),
          ...parameter("gates", "what a run calls the gates of a page that shrinks"),
        ]
      : []),
    ...parameter("__metadata__", "what a checkpoint calls its notes, so no parameter can be saved under it"),
  ];
}

/**
 * Two parameters of one name would be one, and be saved as one: a block's and what a manifold or a claim adds beside
 * it, or those of a block that a connection calls more than once. Of a block one is reported.
 */
export function mergedOf(parameters: readonly Parameter[]): Diagnostic[] {
  const firsts = new Map<string, Tensor>();
  const owners = new Set<string>();
  return parameters.flatMap(({ name, tensor }) => {
    const first = firsts.get(name);
    if (!first) firsts.set(name, tensor);
    const owner = name.slice(0, name.lastIndexOf("."));
    if (!first || first === tensor || owners.has(owner)) return [];
    owners.add(owner);
    // The same words of one block, which is used under one name.
    const isCalledTwice = first.span === tensor.span;
    return [
      diagnostic("MHC211", tensor.span, `\`${name}\` is the name of two parameters, which would be one`, {
        notes: isCalledTwice ? [] : [{ message: "the first", span: first.span }],
        fix: isCalledTwice
          ? `call \`${owner}\` once, or give the other call a name: \`as another\``
          : "give the block another name where it is used: `as another`",
      }),
    ];
  });
}
