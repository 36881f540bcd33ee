/**
 * What every set of the registry promises, generated from its record: in f64, and in f32 on compiled kernels of two devices. A record that
 * keeps less than it says fails here; so does one without a case.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import { openDevice } from "../../runtime/open.js";
import type { Start } from "../../runtime/plan.js";
import { mixtureOf } from "../../src/manifolds/mixture.js";
import { sets, type ConstraintSet, type Manifold } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { vjp } from "../../src/passes/differentiate.js";
import { runOn } from "../helpers/graphs.js";
import { ambient, coordinates, difference, graphOf, mapped, MANY, run, sizeOf, subjects as registered, subjectsOf, vectors, worst, type Subject } from "./members.js";

/** Mixtures are made for a page, and promise the same. */
const mixtures = [["birkhoff", "circulant", "identity"], ["birkhoff", "stochastic"]].map((names): ConstraintSet => {
  const parts = names.map((name) => ({ name, instance: { set: sets[name]!, options: { ...Object.fromEntries(Object.entries(sets[name]!.options).map(([key, option]) => [key, option.default])), ...(name === "birkhoff" ? { exact: true } : {}) }, adapt: [] } }));
  return { ...mixtureOf(parts), cases: [{ shape: [1, 1], extreme: 80 }, { shape: [4, 4], extreme: 80 }] };
});
const subjects: readonly Subject[] = [...registered, ...mixtures.flatMap(subjectsOf)];

/** What a set with a map that only approaches it still keeps when it projects. */
const PROJECTED = 1e-5;

const allowed = ({ set, options }: Subject): number => set.tolerance(options) ?? PROJECTED;
const largestOf = (values: ArrayLike<number>): number => Math.max(1, worst(values));

it("every set has a case that its default setting takes", () => {
  for (const [name, set] of Object.entries(sets)) expect(subjects.some((subject) => subject.set === set && Object.entries(subject.options).every(([option, value]) => set.options[option]!.default === value)), name).toBe(true);
});

describe.each(subjects)("$title", (subject) => {
  const { set, options } = subject;
  const setting = fixed(options);

  it("the map lands on it, and the projection leaves the members alone", () => {
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      const near = set.project(b, x, setting);
      return { x, violation: set.violation(b, x, setting), near };
    });
    for (const ends of [false, true]) {
      const { x, violation, near } = run(graph, coordinates(subject, 11, ends));
      expect(worst(x!)).toBeLessThan(Number.POSITIVE_INFINITY);
      if (set.tolerance(options) === null) continue;
      expect(worst(violation!)).toBeLessThanOrEqual(allowed(subject));
      expect(difference(near!, x!) / largestOf(x!)).toBeLessThanOrEqual(4 * allowed(subject));
    }
  });

  it("the projection lands on it, and is idempotent", () => {
    const graph = graphOf((b) => {
      const once = set.project(b, ambient(b, "x", subject), setting);
      return { once, violation: set.violation(b, once, setting), twice: set.project(b, once, setting) };
    });
    const spread = Math.max(1, Math.min(10, subject.extreme));
    for (const scale of [1, spread]) {
      const { once, violation, twice } = run(graph, new Map([["x", vectors(subject, 13, scale)]]));
      expect(worst(violation!)).toBeLessThanOrEqual(allowed(subject));
      expect(difference(twice!, once!) / largestOf(once!)).toBeLessThanOrEqual(4 * allowed(subject));
    }
  });

  it("training can leave the start: the derivative there is not nothing beside that elsewhere", () => {
    const graph = graphOf((b) => {
      const { pieces, x } = mapped(b, subject);
      return Object.fromEntries(vjp(b, [x], [ambient(b, "g", subject)], pieces).map((node, i) => [`free.${i}`, node]));
    });
    const { kind, value } = set.start(options);
    const start: Start = kind === "normal" ? { kind, deviation: value } : { kind, value };
    const atStart = new Map(subject.free.map((shape, i) => [`free.${i}`, Array.from(initialValues({ name: `free.${i}`, shape: [MANY, ...shape], axes: [], start, doc: null, offset: 0, decay: false }, 1))]));
    const g = vectors(subject, 59);
    const [first, elsewhere] = [atStart, coordinates(subject, 61, false)].map((at) => run(graph, new Map([...at, ["g", g]])));
    for (const name of atStart.keys()) expect(worst(first![name]!)).toBeGreaterThanOrEqual(0.01 * worst(elsewhere![name]!) - 1e-12);
  });

  it("the map's gradient matches differences", () => {
    const graph = graphOf((b) => {
      const { pieces, x } = mapped(b, subject);
      const g = ambient(b, "g", subject);
      const gradients = vjp(b, [x], [g], pieces);
      return { value: b.sum(b.mul(x, g), g.shape.map((_, axis) => axis)), ...Object.fromEntries(gradients.map((node, i) => [`free.${i}`, node])) };
    });
    const at = coordinates(subject, 17, false);
    const given = { g: vectors(subject, 19) };
    const valueAt = (values: ReadonlyMap<string, readonly number[]>): number => run(graph, new Map([...values, ["g", given.g]]))["value"]![0]!;
    const found = run(graph, new Map([...at, ["g", given.g]]));
    for (const [name, values] of at) {
      // Every entry of small sets, a sample of large ones.
      const stride = Math.max(1, Math.floor(values.length / 40));
      for (let i = 0; i < values.length; i += stride) {
        const moved = (h: number): number => valueAt(new Map([...at, [name, values.map((value, j) => (j === i ? value + h : value))]]));
        const numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        expect(Math.abs(numeric - found[name]![i]!)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(numeric)));
      }
    }
  });
});

const adapting = subjects.flatMap((subject) => subject.set.adapts(subject.options).filter((name) => name !== "rank").map((name) => ({ ...subject, name })));

it("what adapts is an option that is a real number", () => {
  for (const { set, name } of adapting) expect(set.options[name]!.kind, `${set.name} ${name}`).toBe("real");
});

describe.each(adapting)("$title, $name adapted", (subject) => {
  const { set, options, name } = subject;
  const graph = graphOf((b) => {
    const scalar = b.input("scalar", [], "f32");
    const setting = { options, adapted: { [name]: scalar } };
    const pieces = subject.free.map((shape, i) => b.input(`free.${i}`, [MANY, ...shape], "f32"));
    const x = set.map(b, pieces, [MANY, ...subject.point], setting);
    const g = ambient(b, "g", subject);
    const [slope] = vjp(b, [x], [g], [scalar]);
    return { x, violation: set.violation(b, x, setting), projected: set.violation(b, set.project(b, g, setting), setting), slope: slope!, value: b.sum(b.mul(x, g), g.shape.map((_, axis) => axis)) };
  });
  const at = (scalar: number) => run(graph, new Map([...coordinates(subject, 73, false), ["g", vectors(subject, 79, 3)], ["scalar", [scalar]]]));

  it("a scalar is what the option would be, and has a gradient", () => {
    const own = options[name] as number;
    const { x: plain } = run(graphOf((b) => ({ x: mapped(b, subject).x })), coordinates(subject, 73, false));
    expect(difference(at(own).x!, plain!)).toBeLessThanOrEqual(1e-12);
    for (const scalar of [own, own / 2]) {
      const { violation, projected, slope } = at(scalar);
      // What only approaches its set is farther off at a low temperature.
      if (set.tolerance(options) !== null) expect(worst(violation!)).toBeLessThanOrEqual(allowed(subject));
      expect(worst(projected!)).toBeLessThanOrEqual(allowed(subject));
      const numeric = (at(scalar + 1e-6).value![0]! - at(scalar - 1e-6).value![0]!) / 2e-6;
      expect(Math.abs(numeric - slope![0]!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(numeric)));
    }
  });
});

describe.each(subjects.filter(({ set }) => set.kind === "manifold"))("$title as a manifold", (subject) => {
  const set = subject.set as Manifold;
  const setting = fixed(subject.options);
  const start = coordinates(subject, 23, false);
  const other = new Map([...coordinates(subject, 29, false)].map(([name, values]) => [`other.${name}`, values]));
  const given = new Map([...start, ...other, ["u", vectors(subject, 31)], ["v", vectors(subject, 37)], ["g", vectors(subject, 41)]]);
  const size = sizeOf(subject.point);

  it("tangents are tangent: the set is left to second order only, and projecting again changes nothing", () => {
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      const v = set.tangent(b, x, ambient(b, "v", subject), setting);
      const left = (t: number) => set.violation(b, b.add(x, b.mul(v, b.fill(t, v.shape))), setting);
      return { v, again: set.tangent(b, x, v, setting), far: left(1e-2), near: left(1e-3) };
    });
    const { v, again, far, near } = run(graph, given);
    expect(difference(v!, again!)).toBeLessThanOrEqual(1e-9);
    for (let i = 0; i < MANY; i++) expect(near![i]!).toBeLessThanOrEqual(0.02 * far![i]! + 1e-12);
  });

  it("the gradient is tangent, and its inner product with a tangent vector is the derivative along it", () => {
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      const g = ambient(b, "g", subject);
      const gradient = set.gradient(b, x, g, setting);
      const u = set.tangent(b, x, ambient(b, "u", subject), setting);
      const axes = subject.point.map((_, axis) => axis + 1);
      return { gradient, tangent: set.tangent(b, x, gradient, setting), inner: set.inner(b, x, gradient, u, setting), along: axes.length ? b.sum(b.mul(g, u), axes) : b.mul(g, u) };
    });
    const { gradient, tangent, inner, along } = run(graph, given);
    expect(difference(gradient!, tangent!)).toBeLessThanOrEqual(1e-8 * largestOf(gradient!));
    expect(difference(inner!, along!)).toBeLessThanOrEqual(1e-8 * largestOf(along!));
  });

  it("the retraction starts at the point, along the vector, and stays on the set", () => {
    const steps = [1e-2, 1e-3];
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      const v = set.tangent(b, x, ambient(b, "v", subject), setting);
      const error = (t: number) => {
        const tv = b.mul(v, b.fill(t, v.shape));
        return b.sub(set.retract(b, x, tv, setting), b.add(x, tv));
      };
      return {
        still: b.sub(set.retract(b, x, b.fill(0, v.shape), setting), x), violation: set.violation(b, set.retract(b, x, v, setting), setting), far: error(steps[0]!), near: error(steps[1]!),
      };
    });
    const { still, violation, far, near } = run(graph, given);
    expect(worst(still!)).toBeLessThanOrEqual(1e-9);
    expect(worst(violation!)).toBeLessThanOrEqual(allowed(subject));
    for (let i = 0; i < MANY; i++) {
      const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values).slice(i * size, (i + 1) * size));
      // A second-order error falls a hundredfold when the step falls tenfold.
      expect(norm(near!)).toBeLessThanOrEqual(0.02 * norm(far!) + 1e-12);
    }
  });

  it("transport stays tangent, and carries a vector nowhere by itself", () => {
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      const y = set.map(b, subject.free.map((shape, i) => b.input(`other.free.${i}`, [MANY, ...shape], "f32")), [MANY, ...subject.point], setting);
      const v = set.tangent(b, x, ambient(b, "v", subject), setting);
      const carried = set.transport(b, x, y, v, setting);
      return { v, carried, tangent: set.tangent(b, y, carried, setting), still: set.transport(b, x, x, v, setting) };
    });
    const { v, carried, tangent, still } = run(graph, given);
    expect(difference(carried!, tangent!)).toBeLessThanOrEqual(1e-8 * largestOf(carried!));
    expect(difference(v!, still!)).toBeLessThanOrEqual(1e-8 * largestOf(v!));
  });

  if (set.distance) it("distances are a metric, and agree with the retraction for small steps", () => {
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      const y = set.map(b, subject.free.map((shape, i) => b.input(`other.free.${i}`, [MANY, ...shape], "f32")), [MANY, ...subject.point], setting);
      const v = set.tangent(b, x, ambient(b, "v", subject), setting);
      const z = set.retract(b, x, v, setting);
      const small = b.mul(v, b.fill(1e-4, v.shape));
      const d = (from: typeof x, to: typeof x) => set.distance!(b, from, to, setting);
      return { same: d(x, x), xy: d(x, y), yx: d(y, x), yz: d(y, z), xz: d(x, z), step: d(x, set.retract(b, x, small, setting)), length: b.sqrt(set.inner(b, x, small, small, setting)) };
    });
    const { same, xy, yx, yz, xz, step, length } = run(graph, given) as Record<string, ArrayLike<number>>;
    expect(worst(same!)).toBeLessThanOrEqual(1e-7);
    expect(difference(xy!, yx!)).toBeLessThanOrEqual(1e-9);
    for (let i = 0; i < MANY; i++) {
      expect(xy![i]!).toBeGreaterThanOrEqual(0);
      expect(xz![i]!).toBeLessThanOrEqual(xy![i]! + yz![i]! + 1e-9);
      expect(Math.abs(step![i]! - length![i]!)).toBeLessThanOrEqual(1e-6 + 1e-2 * length![i]!);
    }
  });
});

describe.each(["wasm", "webgpu"] as const)("on %s", (name) => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice(name, { threads: 1 });
  });
  afterAll(() => device.close());

  it.each(subjects)("$title: map and projection land on it in f32, and the gradient is that of f64", async (subject) => {
    const { set, options } = subject;
    const setting = fixed(options);
    const graph = graphOf((b) => {
      const { pieces, x } = mapped(b, subject);
      const near = set.project(b, ambient(b, "value", subject), setting);
      const gradients = vjp(b, [x], [ambient(b, "g", subject)], pieces);
      return { x, violation: set.violation(b, x, setting), projected: set.violation(b, near, setting), ...Object.fromEntries(gradients.map((node, i) => [`free.${i}`, node])) };
    });
    for (const ends of [false, true]) {
      const values = new Map([...coordinates(subject, 43, ends), ["value", vectors(subject, 47, Math.max(1, Math.min(10, subject.extreme)))], ["g", vectors(subject, 53)]]);
      const found = await runOn(device, graph, values);
      const tolerance = set.tolerance(options);
      expect(worst(found.get("x")!)).toBeLessThan(Number.POSITIVE_INFINITY);
      if (tolerance !== null) expect(worst(found.get("violation")!)).toBeLessThanOrEqual(tolerance);
      expect(worst(found.get("projected")!)).toBeLessThanOrEqual(allowed(subject));
      for (const i of subject.free.keys()) expect(worst(found.get(`free.${i}`)!)).toBeLessThan(Number.POSITIVE_INFINITY);
      if (ends) continue;
      const exact = run(graph, values);
      subject.free.forEach((_, i) => expect(difference(found.get(`free.${i}`)!, exact[`free.${i}`]!)).toBeLessThanOrEqual(1e-4 * largestOf(exact[`free.${i}`]!)));
    }
  });
});
