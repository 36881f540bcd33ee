/** What an explanation of a code is made of, and how its two pages are written. */

/** A page that raises a code, and the same page without the mistake. */
export interface Example {
  readonly wrong: string;
  readonly right: string;
}

/** What `mhc explain` says of a code. */
export interface Explanation {
  /** What the code means, and what to do: one to three sentences. */
  readonly text: string;
  /** Null where a page alone does not raise the code. */
  readonly example: Example | null;
  /** How the code comes about where there is no example; null where there is one. */
  readonly arises: string | null;
  /** Where to read more: a page of the documentation, with a heading. */
  readonly read: string;
}

/** What stands on the wrong page, and what on the right one in its place. */
type Change = readonly [wrong: string, right: string];

/**
 * An explanation with a wrong page, and the changes that mend it. Throws an Error when a text that is to be changed
 * does not stand exactly once on the page.
 */
export function explained(text: string, read: string, wrong: string, ...changes: readonly Change[]): Explanation {
  let right = wrong;
  for (const [from, to] of changes) {
    if (right.split(from).length !== 2) throw new Error(`bug: ${JSON.stringify(from)} is not once in\n${right}`);
    right = right.replace(from, () => to);
  }
  return { text, example: { wrong, right }, arises: null, read };
}

/** An explanation of a code that a page alone does not raise. */
export const outside = (text: string, read: string, arises: string): Explanation => ({
  text,
  example: null,
  arises,
  read,
});

/** A page of a model with these items, each indented by two spaces. */
export const model = (items: string): string => `model Page {\n${items.replace(/^\n/, "")}}\n`;

/** A page that trains. `items`: what stands between the data and the section `train`. */
export const training = (items: string, settings = "optimizer = adamw(rate = 1e-3)"): string =>
  model(`
  dim context = 8, width = 16
  data corpus = characters("text.txt", window = context)
${items.replace(/^\n/, "")}  train {
    batch = 4, steps = 100, ${settings}
  }
`);
