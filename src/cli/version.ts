/**
 * The version of the package, from its package.json: two folders up from here in the sources, three from the built
 * file.
 */
import { existsSync, readFileSync } from "node:fs";

const places = ["../../package.json", "../../../package.json"].map((path) => new URL(path, import.meta.url));
const file = places.find((place) => existsSync(place));

/** The version of the package. */
export const version = file
  ? (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version
  : "0.0.0";
