/**
 * What every set of the registry promises, generated from its record: in f64, and in f32 on compiled kernels of two
 * devices. A record that keeps less than it says fails here; so does one without a case. The laws in f64 are those that
 * a user's own set is held to (`src/manifolds/laws.ts`).
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../runtime/device.js";
import { openDevice } from "../../runtime/index.js";
import { lawsOf } from "../../src/manifolds/laws.js";
import { subjectsOf } from "../../src/manifolds/subjects.js";
import { mixtureOf } from "../../src/manifolds/mixture.js";
import { defaultsOf, problemsOf } from "../../src/manifolds/own.js";
import { sets, type ConstraintSet } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { vjp } from "../../src/graph/differentiate.js";
import { everyDevice } from "../helpers/devices.js";
import { loadOn } from "../helpers/graphs.js";
import {
  allowed,
  ambient,
  coordinates,
  difference,
  graphOf,
  largestOf,
  mapped,
  run,
  subjects as registered,
  vectors,
  worst,
  type SetSubject,
} from "./members.js";

/** Mixtures are made for a page, and promise the same. */
const mixtures = [
  ["birkhoff", "circulant", "identity"],
  ["birkhoff", "stochastic"],
].map((names): ConstraintSet => {
  const parts = names.map((name) => ({
    name,
    instance: {
      set: sets[name]!,
      options: { ...defaultsOf(sets[name]!), ...(name === "birkhoff" ? { exact: true } : {}) },
      adapt: [],
    },
  }));
  return {
    ...mixtureOf(parts),
    cases: [
      { shape: [1, 1], extreme: 80 },
      { shape: [4, 4], extreme: 80 },
    ],
  };
});
const subjects: readonly SetSubject[] = [...registered, ...mixtures.flatMap(subjectsOf)];

it("every set has a case that its default setting takes", () => {
  for (const [name, set] of Object.entries(sets))
    expect(
      subjects.some(
        (subject) =>
          subject.set === set &&
          Object.entries(subject.options).every(([option, value]) => set.options[option]!.default === value),
      ),
      name,
    ).toBe(true);
});

it("every record is whole, as a user's own must be", () => {
  for (const [name, set] of Object.entries(sets)) expect(problemsOf(set), name).toEqual([]);
});

describe.each(subjects)("$title", (subject) => {
  it.each(lawsOf(subject))("$title", ({ failures }) => expect(failures()).toEqual([]));
});

describe.each(everyDevice.filter((name) => name !== "javascript"))("on %s", (name) => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice(name, { threads: 1 });
  });
  afterAll(() => device.close());

  const LANDS = "$title: map and projection land on it in f32, and the gradient is that of f64";
  const lands = async (subject: SetSubject): Promise<void> => {
    const { set, options } = subject;
    const setting = fixed(options);
    const graph = graphOf<string>((b) => {
      const { pieces, x } = mapped(b, subject);
      const near = set.project(b, ambient(b, "value", subject), setting);
      const gradients = vjp(b, [x], [ambient(b, "g", subject)], pieces);
      return {
        x,
        violation: set.violation(b, x, setting),
        projected: set.violation(b, near, setting),
        ...Object.fromEntries(gradients.map((node, i) => [`free.${i}`, node])),
      };
    });
    const compiled = await loadOn(device, graph);
    for (const ends of [false, true]) {
      const values = new Map([
        ...coordinates(subject, 43, ends),
        ["value", vectors(subject, 47, Math.max(1, Math.min(10, subject.extreme)))],
        ["g", vectors(subject, 53)],
      ]);
      const found = await compiled.run(values);
      const tolerance = set.tolerance(options);
      expect(worst(found.get("x")!)).toBeLessThan(Number.POSITIVE_INFINITY);
      if (tolerance !== null) expect(worst(found.get("violation")!)).toBeLessThanOrEqual(tolerance);
      expect(worst(found.get("projected")!)).toBeLessThanOrEqual(allowed(subject));
      for (const i of subject.free.keys())
        expect(worst(found.get(`free.${i}`)!)).toBeLessThan(Number.POSITIVE_INFINITY);
      if (ends) continue;
      const exact = run(graph, values);
      subject.free.forEach((_, i) =>
        expect(difference(found.get(`free.${i}`)!, exact[`free.${i}`]!)).toBeLessThanOrEqual(
          1e-4 * largestOf(exact[`free.${i}`]!),
        ),
      );
    }
    await compiled.close();
  };
  // Compiling takes a second for each: here the first case of each set, and the others apart.
  const isQuick = (subject: SetSubject): boolean => subjects.find(({ set }) => set === subject.set) === subject;
  it.each(subjects.filter(isQuick))(LANDS, lands);
  const others = subjects.filter((subject) => !isQuick(subject));
  if (others.length) it.each(others)(LANDS, { tags: "slow" }, lands);
});
