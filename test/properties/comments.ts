/** Comments at random places of a page: behind a line, on lines of their own, and between any two words. */
import type { Chooser } from "./chooser.js";

/** A page with comments, each with a number of its own, and how many there are. */
export interface Commented {
  readonly text: string;
  readonly comments: readonly string[];
}

/** Puts comments into a text; `share` of 10 places that may have one have one. */
export function commented(text: string, chooser: Chooser, share: number): Commented {
  const comments: string[] = [];
  const comment = (): string => {
    comments.push(`// remark ${comments.length} of ${chooser.one(["this", "{ this", "} (the", '"the'])} page.`);
    return comments.at(-1) ?? "";
  };
  const lines = text.split("\n").map((line) => {
    const before = chooser.often(share) ? `${" ".repeat(chooser.below(5))}${comment()}\n` : "";
    const words = line.split(/(?<=[,(=+*{]) /);
    const broken = words.map((word, i) => {
      if (i === words.length - 1 || word.includes("//") || !chooser.often(1)) return word;
      return `${word} ${comment()}\n`;
    });
    const behind = line !== "" && chooser.often(share) ? `  ${comment()}` : "";
    return `${before}${broken.join(" ")}${behind}`;
  });
  return { text: lines.join("\n"), comments };
}
