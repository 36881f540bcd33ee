/** Sources of data as commands meet them: what is asked of their readers, and what a run keeps of them. */
import { resolve } from "node:path";
import type { TextTokenizer } from "../../runtime/generate.js";
import type { DataRequest, Loaded } from "../../runtime/node/sources.js";
import { recordOf } from "../../runtime/records.js";
import { valueOf } from "../graph/sizes.js";
import type { DataSource } from "../model/typed.js";
import type { StoredRun } from "../tools/run.js";

/** What a reader is asked for a source of a page. */
export const requestOf = ({ name, kind, location, holdout, stated, settings }: DataSource): DataRequest => ({
  name,
  kind,
  location,
  holdout,
  sizes: recordOf([...stated].map(([option, size]) => [option, valueOf(size)])),
  settings,
});

/** The tokenizer of a source; nothing for one that has none. */
export function tokenizerOf(loaded: ReadonlyMap<string, Loaded>, name: string): TextTokenizer | undefined {
  const data = loaded.get(name);
  return data?.kind === "tokens" ? data.tokenizer : undefined;
}

/** The files that a run keeps: those that its page uses, and the tokenizers of its data. */
export const usedWith = (
  used: ReadonlyMap<string, string>,
  loaded: ReadonlyMap<string, Loaded>,
): ReadonlyMap<string, string> =>
  new Map([
    ...used,
    ...[...loaded.values()].flatMap((data) =>
      data.kind === "tokens" ? [[data.tokenizerPath, data.tokenizer.text] as const] : [],
    ),
  ]);

/** The tokenizer that a run has kept; nothing for one whose data has none. */
export async function tokenizerOfRun({ info, used }: StoredRun): Promise<TextTokenizer | undefined> {
  const before = info.sources?.find(({ tokenizer }) => tokenizer !== undefined)?.tokenizer;
  if (before === undefined) return undefined;
  const { openTokenizer } = await import("../../runtime/node/tokenizer.js");
  return openTokenizer(used.get(resolve(before)) ?? before);
}
