/** Habits about losses and metrics: where they stand, and that each is one number for an example. */
import { mustAt } from "../runtime/lookup.js";
import * as t from "./lexer.js";
import { cut, closing, type HabitRow } from "./seen.js";

/** Rows of `habits.ts` for `loss` and `metric`. */
export const MEASURED: readonly HabitRow[] = [
  // `loss balance[t] = …`
  ({ token, first, tokens, at, text }) => {
    if (token.tokenType !== t.LeftBracket) return null;
    if (first?.tokenType !== t.word.loss && first?.tokenType !== t.word.metric) return null;
    const end = mustAt(tokens, closing(tokens, at));
    const what = first.image;
    return {
      message: `a ${what} is one number for each example, and has no axes`,
      fix: `take the mean over them: \`${what} … = mean${cut(text, token, end)}(…)\``,
      place: [token, end],
    };
  },
  ({ token, rules }) => {
    const rule = rules.at(-1);
    if (token.tokenType === t.word.metric && (rule === "block" || rule === "blockItems"))
      return {
        message: "a metric is of a model, and this is a block",
        fix: "give what it is made of as the block's result, and measure that in the model",
        place: [token, token],
      };
    if (rule !== "repeat" && rule !== "statements") return null;
    if (token.tokenType === t.word.metric)
      return {
        message: "a metric is of a model, and stands beside its `repeat`",
        fix: "measure the stream behind the `repeat`",
        place: [token, token],
      };
    if (token.tokenType === t.word.loss)
      return {
        message: "a loss in a `repeat` is that of a block, which is summed over the layers",
        fix: "write `loss …` in the block, or behind the `repeat`",
        place: [token, token],
      };
    return null;
  },
];
