/**
 * The one table of codes. A diagnostic is made only through `diagnostic`, which takes a code of this table; the row
 * says how severe it is and, in general terms, what it is about. 1xx syntax, 2xx names, dims and types, 3xx manifolds,
 * 4xx data, 5xx training and cost, 6xx targets.
 */
import type { Span } from "./span.js";
import type { Diagnostic, Severity } from "./diagnostic.js";

/** What a code says in general. */
interface CodeRow {
  readonly severity: Severity;
  readonly title: string;
}

const error = (title: string): CodeRow => ({ severity: "error", title });
const warning = (title: string): CodeRow => ({ severity: "warning", title });

/** Every code, with how severe it is and what it is about. */
export const table = {
  MHC101: error("a character that no token begins with"),
  MHC102: error("a string without an end"),
  MHC103: error("a token that does not belong here"),
  MHC104: error("a parameter without a start"),
  MHC105: error("a page that is not in the one layout"),
  MHC106: error("something that is written otherwise here"),
  MHC107: error("an escape that no string has"),
  MHC108: error("a page that is not plain text"),
  MHC109: error("something that is nested too deeply"),
  MHC201: error("an unknown name"),
  MHC202: error("a name defined twice"),
  MHC203: error("two sizes that do not agree"),
  MHC204: error("an axis that stands only once in a product"),
  MHC205: error("an axis that is not in scope"),
  MHC206: error("a wrong number of axes"),
  MHC207: error("a wrong argument"),
  MHC208: error("a size that cannot be known"),
  MHC209: error("a division of sizes that leaves a remainder"),
  MHC210: error("something of the wrong kind"),
  MHC211: error("a second use of a block that needs a name"),
  MHC212: error("a `where` that nothing reduces"),
  MHC213: error("a model that computes nothing"),
  MHC215: error("a size that is not a positive whole number"),
  MHC216: error("a file without exactly one model"),
  MHC217: error("a file that cannot be read"),
  MHC218: error("blocks that contain each other"),
  MHC219: error("an axis in a value that may be its size or the position along it"),
  MHC220: warning("something that nothing uses"),
  MHC221: warning("a parameter that no gradient reaches"),
  MHC222: warning("a stream that nothing changes"),
  MHC223: error("blocks that are nested too deeply"),
  MHC224: error("something that is too large to be made"),
  MHC225: warning("a warning that is allowed, and that nothing raises"),
  MHC226: error("a condition that is not known when the page is compiled"),
  MHC227: error("a sum that could stand in a product or inside of it"),
  MHC230: error("an index that is no sum of positions and whole numbers"),
  MHC231: error("a read outside of a tensor that nothing replaces"),
  MHC232: error("an index that lies outside of its axis"),
  MHC233: error("a recurrence that does not go place by place"),
  MHC301: error("an unknown manifold"),
  MHC302: error("a wrong option of a manifold"),
  MHC303: error("a manifold on a shape it does not have"),
  MHC304: error("a parameter on two sets"),
  MHC305: error("a claim that does not follow"),
  MHC306: warning("something to learn that says nothing new"),
  MHC307: error("a set of one's own that is not whole"),
  MHC308: warning("a start that is not what it looks like on its set"),
  MHC401: error("an unknown data source"),
  MHC402: error("a wrong option of a data source"),
  MHC403: error("data that does not fit the spec"),
  MHC501: error("an unknown setting"),
  MHC502: error("a setting with a value that makes no sense"),
  MHC503: error("a setting that is missing"),
  MHC504: error("a budget that cannot be met"),
  MHC505: error("something that cannot be shrunk"),
  MHC506: warning("training that changes nothing"),
  MHC601: error("something that a target does not have"),
  MHC602: warning("a precision that changes nothing"),
} as const satisfies Readonly<Record<string, CodeRow>>;

/** A code of the table. */
export type Code = keyof typeof table;

/** A diagnostic with a code of the table. */
export function diagnostic(
  code: Code,
  span: Span,
  message: string,
  { notes = [], fix = null, about }: Partial<Pick<Diagnostic, "notes" | "fix" | "about">> = {},
): Diagnostic {
  return { code, severity: table[code].severity, message, span, notes, fix, ...(about ? { about } : {}) };
}
