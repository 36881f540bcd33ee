/** The parser's library, bundled into one file: its 640 modules take six times as long to load. */
import { fileURLToPath } from "node:url";

export const CHEVROTAIN = fileURLToPath(new URL("../../node_modules/chevrotain/lib/chevrotain.mjs", import.meta.url));
