/**
 * What the generated tests of the registry run over: every set in every setting, with the shapes that its record names.
 */
import { subjectsOf, type SetSubject } from "../../src/manifolds/subjects.js";
import { sets } from "../../src/manifolds/registry.js";

export {
  allowed,
  ambient,
  coordinates,
  difference,
  graphOf,
  largestOf,
  mapped,
  MANY,
  run,
  settings,
  vectors,
  worst,
  type SetSubject,
  type Values,
} from "../../src/manifolds/subjects.js";

export const subjects: readonly SetSubject[] = Object.values(sets).flatMap(subjectsOf);
