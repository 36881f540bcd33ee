/**
 * A page's names and words in TypeScript. The name of a model becomes a class, and may be a word that no class can
 * have, or that of something which the module itself uses: then the class has a name of its own within the module and
 * is exported under the page's name, which may be any word. A doc comment may hold anything, also `*` and `/` together.
 */

/** Reserved words, in modules and in strict mode; and types that are words. */
const RESERVED =
  "arguments await break case catch class const continue debugger default delete do else enum eval export " +
  "extends false finally for function if " +
  "implements import in instanceof interface let new null package private protected public return static super " +
  "switch this throw true try typeof var " +
  "void while with yield any bigint boolean never number object string symbol undefined unknown globalThis";

/** What a module that becomes CommonJS declares. */
const COMMON_JS = "Object Promise exports module require __dirname __esModule __filename";

/** What the module imports, the globals in it, and what its methods' arguments and locals are called. */
const USED =
  "load Batch CallOptions GenerateOptions LoadOptions Model ParameterAccess Plan Source StepMetrics TrainOptions " +
  "ArrayBuffer AsyncIterableIterator Float32Array JSON Readonly Record Uint8Array back batch cotangents data " +
  "from inputs model options path prompt";

const taken = new Set([RESERVED, COMMON_JS, USED].flatMap((words) => words.split(" ")));

/** What the class of a model is called within its module. */
export const localName = (name: string): string => (taken.has(name) ? `${name}$` : name);

/** A doc comment's text: it ends no comment, and its lines end as those of the file do. */
export const commentOf = (text: string): string =>
  text
    .replace(/\*\//g, "*\\/")
    .replace(/\r\n?|[\u2028\u2029]/g, "\n")
    .replace(/[^\P{Cc}\n\t]/gu, "\ufffd");

/** A string literal that ends neither a line nor, in a page that a module is written into, a script. */
export const literalOf = (text: string): string =>
  JSON.stringify(text).replace(
    /<(?=[/!])|[\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
