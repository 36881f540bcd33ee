/** Text that a caller hands over, as batches by the kind of the page's data. */
import { textSource, type Source } from "./data.js";
import { csvSource } from "./columns.js";
import { linesSource, sequencesSource } from "./lines.js";
import { pairsSource, parsePairs } from "./pairs.js";
import type { DataInfo } from "./sources.js";

/** The batches of a text; null for data that is not written as text. Throws DataError as its source does. */
export function sourceOfText(info: DataInfo, text: string): Source | null {
  switch (info.kind) {
    case "characters":
      return textSource(info, text);
    case "lines":
      return linesSource(info, text);
    case "sequences":
      return sequencesSource(info, text);
    case "csv":
      return csvSource(info, text);
    case "pairs":
      return pairsSource(info, parsePairs(text));
    case "tokens":
    case "examples":
    case "images":
      return null;
    default:
      return info satisfies never;
  }
}
