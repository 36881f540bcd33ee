/**
 * What a compiled page promises, as subjects that can be measured: that values and parameters are on their sets, that
 * claims hold, and gains, of which nothing may be claimed. Each says what it is of the scalars that entries give out,
 * and whether a state asks for what is promised at all.
 */
import type { Entry, ParameterInfo, Plan } from "../../runtime/plan.js";
import { mustGet } from "../../runtime/lookup.js";
import { BEYOND } from "../step/reach.js";
import { probedOf } from "./gains.js";

/** In which states: drawn before training, on the way from the start, with what a run has trained, and near that. */
export type When = "drawn" | "training" | "trained" | "nearby";

/** What is promised: a distance within a tolerance, a claim that is proved, a claim that is monitored, or nothing. */
export type Promised = "tolerance" | "proved" | "monitored" | "nothing";

/** What was seen of a set beyond its reach, where nothing is promised. */
export interface Beyond {
  /** Free coordinates within this are promised to be mapped onto the set. */
  readonly reach: number;
  /** The largest distance beyond. */
  readonly worst: number;
  /** The least coordinate with which the tolerance was passed; null when it never was. */
  readonly from: number | null;
}

/**
 * Proofs are of exact arithmetic; a norm is measured from above by Gram iteration, by less than a hundred-thousandth
 * each, and in f32.
 */
const ROUNDING = 1e-3;

/** One thing that is verified. */
export interface VerifiedSubject {
  readonly property: string;
  readonly tensor: string;
  readonly promised: Promised;
  readonly limit: number | null;
  /** What it is, of what was measured. */
  readonly of: (measured: Measurements) => number;
  /** Whether the state asks for what is promised: "over" when it goes beyond that, null when it overflows before. */
  readonly asked: (measured: Measurements) => Asked;
  /** Of a set: its largest free coordinate. */
  readonly free: ((measured: Measurements) => number) | null;
  readonly reach: number;
}

/** Whether a state asks for what is promised; "over" when it goes beyond, null when it overflows before. */
export type Asked = "in" | "over" | null;

/**
 * What is measured of a state, by kind and name: the outputs of entries that have these kinds; the gains of streams;
 * and of points that are drawn, the largest coordinate in absolute value, by parameter.
 */
export type Measurements = Readonly<
  Record<"constraint" | "free" | "lost" | "claim" | "gain" | "point", ReadonlyMap<string, number>>
>;

/** What there is to verify, in the order of the page: sets, claims, and gains of which nothing is claimed. */
export function subjectsOf(plan: Plan, entries: Readonly<Record<string, Entry>>): VerifiedSubject[] {
  const members = plan.constraints.map(({ name, manifold, tolerance, reach }): VerifiedSubject => {
    const points = storedOf(plan, name).filter(({ point }) => point);
    const free = (measured: Measurements): number =>
      Math.max(measured.free.get(name) ?? 0, ...points.map((info) => measured.point.get(info.name) ?? 0));
    return {
      property: `on ${manifold}`,
      tensor: name,
      promised: tolerance === null ? "nothing" : "tolerance",
      limit: tolerance,
      reach,
      free,
      of: (measured) => ((measured.lost.get(name) ?? 0) > 0 ? Number.NaN : mustGet(measured.constraint, name)),
      asked(measured) {
        const far = free(measured);
        return far >= BEYOND ? null : far > reach ? "over" : "in";
      },
    };
  });
  // A claim is proved of members: it says nothing of a state in which a set is not asked for what it promises.
  const asked = (measured: Measurements): Asked => {
    const answers = members.map((member) => member.asked(measured));
    return answers.includes(null) ? null : answers.includes("over") ? "over" : "in";
  };
  const within = { asked, free: null, reach: Number.POSITIVE_INFINITY };
  // A gain is proved in exact arithmetic: a coefficient that is no number came of a stream that overflowed.
  const finite =
    (of: VerifiedSubject["of"]): VerifiedSubject["asked"] =>
    (measured) =>
      Number.isFinite(of(measured)) ? asked(measured) : null;
  const claims = plan.claims.map(({ text, bound, monitored, proof }): VerifiedSubject => {
    const of = (measured: Measurements): number => mustGet(measured.claim, text);
    return {
      property: text,
      tensor: [...text.matchAll(/(?:gain|norm(?:\[[^\]]*\])?)\(([^()]+)\)/g)].map(([, name]) => name).join(", "),
      promised: proof ? "proved" : monitored ? "monitored" : "nothing",
      limit: bound,
      of,
      ...within,
      ...(text.includes("gain(") ? { asked: finite(of) } : {}),
    };
  });
  const gains = probedOf(plan, entries)
    .map(({ stream }) => stream)
    .filter((stream) => !plan.claims.some(({ text }) => text.startsWith(`gain(${stream}) <=`)))
    .map((stream): VerifiedSubject => {
      const of = (measured: Measurements): number => mustGet(measured.gain, stream);
      return { property: "gain", tensor: stream, promised: "nothing", limit: null, ...within, of, asked: finite(of) };
    });
  return [...members, ...claims, ...gains];
}

/** The entry that measures distances: of a page with inputs it is that which makes its outputs. */
export const mainEntry = (plan: Plan): string => (plan.train ? "loss" : "forward");

/** The stored tensors of a parameter on a set, in all its layers: the parameter itself, or its pieces. */
export function storedOf({ parameters }: Plan, constraint: string): readonly ParameterInfo[] {
  const pattern = new RegExp(`^${constraint.replaceAll(".", "\\.").replaceAll("*", "\\d+")}(\\.\\w+)?$`);
  return parameters.filter(({ name }) => pattern.test(name));
}

/** By how much a limit may be passed. */
const allowed = (limit: number, { promised }: VerifiedSubject): number =>
  limit * (promised === "proved" ? 1 + ROUNDING : 1);

/** Whether a value passes its limit; what is no number does. */
export const passes = (subject: VerifiedSubject, value: number): boolean =>
  subject.limit !== null && !(value <= allowed(subject.limit, subject));

/** Whether passing the limit in such states is a failure. */
export const fails = ({ promised }: VerifiedSubject, when: When): boolean =>
  promised === "tolerance" || promised === "proved" || (promised === "monitored" && when === "trained");

/** Whether a state is judged: what was trained always is. */
export const judged = (subject: VerifiedSubject, measured: Measurements, when: When): Asked =>
  when === "trained" ? "in" : subject.asked(measured);

/** What was seen beyond, with one more state. */
export function further(subject: VerifiedSubject, before: Beyond | null, value: number, coordinate: number): Beyond {
  const from = passes(subject, value)
    ? Math.min(before?.from ?? Number.POSITIVE_INFINITY, coordinate)
    : (before?.from ?? null);
  return { reach: subject.reach, worst: Math.max(before?.worst ?? 0, value), from };
}

/** A value as a distance: NaN is as far off as can be. */
export const asDistance = (value: number): number => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : value);
