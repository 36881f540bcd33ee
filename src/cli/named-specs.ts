/**
 * Pages as the command line of a comparison names them: `page.mhc@layers=4,width=32` is the page with these settings,
 * and `page.mhc@train.rate=1e-3,3e-3` the page once with each of these values.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { mustAt } from "../../runtime/lookup.js";
import { UsageError } from "./outcome.js";

/** A page with what is set of it. */
export interface NamedSpec {
  readonly name: string;
  readonly file: string;
  readonly set: readonly string[];
}

/**
 * The pages that some words name, in their order. Names are as short as they can be while they differ. A UsageError for
 * settings that are none, and for a page that is named twice with the same settings.
 */
export function namesOf(words: readonly string[]): NamedSpec[] {
  const parts = words.flatMap(partsOf);
  const whole = parts.map(({ file, set }) => [file, ...(set.length ? [set.join(",")] : [])].join("@"));
  const short = parts.map(({ file, set }) =>
    [basename(file).replace(/\.mhc$/, ""), ...(set.length ? [set.join(",")] : [])].join("@"),
  );
  return parts.map(({ file, set }, i) => {
    const word = mustAt(whole, i);
    if (whole.indexOf(word) !== i)
      throw new UsageError(`error: ${word} is given twice; settings tell two of one page apart: ${file}@name=value`);
    const name = mustAt(short, i);
    return { name: short.filter((other) => other === name).length > 1 ? word : name, file, set };
  });
}

type NamedPage = Pick<NamedSpec, "file" | "set">;

/** The pages that one word names. */
function partsOf(word: string): readonly NamedPage[] {
  const at = existsSync(word) ? -1 : word.lastIndexOf("@");
  // An @ before a slash is a folder's, unless settings follow it.
  if (at < 1 || (word.includes("/", at) && !/^@\w[\w.]*=/.test(word.slice(at)))) return [{ file: word, set: [] }];
  const file = word.slice(0, at);
  const items = itemsIn(word.slice(at + 1));
  // What is no setting by itself is one more value of the setting before it.
  const values: string[][] = [];
  for (const item of items) {
    const last = values.at(-1);
    const isSetting = /^[^=(]+=./.test(item);
    if (isSetting) values.push([item]);
    else if (last && item !== "" && !/^[^(]*=/.test(item)) last.push(`${nameIn(mustAt(last, 0))}=${item}`);
    else throw new UsageError(`error: ${word}: write ${file}@name=value,name=value`);
  }
  return values
    .reduce<readonly (readonly string[])[]>(
      (sets, list) => sets.flatMap((set) => list.map((one) => [...set, one])),
      [[]],
    )
    .map((set) => ({ file, set }));
}

const nameIn = (setting: string): string => setting.slice(0, setting.indexOf("="));

/** What stands between commas; those within parentheses belong to a value: `train.optimizer=sgd(0.1, momentum=0.9)`. */
function itemsIn(text: string): string[] {
  let depth = 0;
  const list = [""];
  for (const character of text) {
    depth += Number(character === "(") - Number(character === ")");
    if (character === "," && depth === 0) list.push("");
    else list[list.length - 1] += character;
  }
  return list;
}
