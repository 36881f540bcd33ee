/** What each word of the language says, a line each: for the reference, whose tables are made of them. */
import type { Keyword } from "./lexer.js";

/** Reserved words, which no name may be. */
export const keywordMeanings: Readonly<Record<Keyword, string>> = {
  use: "takes the blocks of another file, or the sets of a module",
  model: "the network of a page, with its data and its training",
  block: "a reusable part with parameters: tensors in, a tensor out",
  connection: "a block that wraps another one and says how it meets a stream",
  dim: "a size by name",
  data: "where data is, and how it is read",
  manifold: "a set by name: where values or parameters stay",
  stream: "a tensor that takes new values, layer by layer",
  input: "a tensor that the caller gives",
  output: "a tensor that the caller gets",
  repeat: "the same statements several times, with parameters of their own each time",
  if: "statements that are there only if a condition holds when the page is compiled",
  else: "what a value is otherwise, and what is there if an `if` is not",
  loss: "what training descends; with a name, a part of it",
  metric: "a number that is measured and never differentiated",
  param: "parameters, with how they start",
  return: "what a block gives",
  through: "a stream goes through a block: `x through f()`",
  via: "the connection by which it does: `x through f() via mhc(M)`",
  as: "the name of an instance, or of the number of a layer",
  on: "the set that a parameter stays on",
  each: "the axes that count points of a set",
  where: "the condition under which a value is there",
  adapt: "an option of a set that is learned or scheduled",
  in: "the two ends of what is learned: `adapt radius in 0.5 .. 2`",
  monitored: "a claim is measured while training, not proved",
  constrain: "the section of what must hold",
  cost: "the section of what a step may cost",
  train: "the section of how the page is trained",
  and: "both conditions hold",
  or: "one of two conditions holds, or both",
};

/** Words that mean something in one place only, and are names anywhere else. */
export const contextualMeanings: Readonly<Record<string, string>> = {
  number: "begins an item: a number by name, which is no size",
  shared: "behind `repeat`: all layers have the same parameters; behind a bound: parameters share it",
  frozen: "behind a start: the parameter stays as it starts",
  allow: "begins an item: warnings that are meant, by their codes",
  freeze: "in `train`: parameters that stay as they start",
  group: "in `train`: parameters with settings of their own",
  every: "in `recompute = every 6`: so many connections a segment",
  weight: "behind `adapt rank in …`, and in `cost`: what a part of the cost is worth",
  within: "in `cost`: the part of the run in which units are chosen",
  by: "in `cost`: what units are chosen by",
};
