/**
 * What is proved of the gain of a connection, held against the derivative of the connection itself: thousands of random
 * connections, each with the smallest bound that can be proved of it. The measurement knows nothing of the reading that
 * proofs are made of.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate, leafName } from "../../src/graph/evaluate.js";
import { sizeOf } from "../../src/graph/record.js";
import { topological } from "../../src/graph/topology.js";
import { proveGain } from "../../src/model/proofs/gain.js";
import { lower } from "../../src/model/lower/lower.js";
import type { Tensor, Typed, TypedModel } from "../../src/model/typed.js";
import { gains } from "../../src/step/gains.js";
import { inputId, nodesOf } from "../../src/step/roles.js";
import { monitors } from "../../src/step/monitors.js";
import { openDevice } from "../../runtime/index.js";
import { verify } from "../../src/tools/verify.js";
import { random } from "../helpers/cases.js";
import { planOf } from "../helpers/specs.js";
import { connection, pageOf, textOf, type Step } from "./connections.js";

/** Streams of a page, and how many pages. */
const STREAMS = 20;
const PAGES = 102;
const SEED = 1;
/** Numbers of a stream. */
const SHAPE = [3, 2, 2] as const;
const ENTRIES = 12;

interface Judged {
  readonly stream: string;
  /** The smallest bound; null where nothing is proved. */
  readonly bound: number | null;
  readonly measured: number;
}

function modelOf(text: string): TypedModel {
  const { model, diagnostics } = check(text, { file: "random.mhc" });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return model;
}

const streamsOf = ({ statements }: TypedModel): readonly Tensor[] =>
  statements.flatMap((statement) =>
    statement.kind === "let" && statement.tensor.kind === "stream" ? [statement.tensor] : [],
  );

/** Every gain of a page in one state: an example for each number of a stream, in each of its composites by turns. */
function measured(
  model: TypedModel,
  seed: number,
  watched = false,
): { readonly gains: ReadonlyMap<string, number>; readonly monitors: ReadonlyMap<string, number> } {
  const b = createBuilder();
  const batch = 2 * ENTRIES;
  const { chains, held } = lower(model, b, { batch, gains: true });
  const all = watched
    ? [
        ...monitors(
          b,
          chains.filter((chain) => chain.length <= 2),
        ),
      ]
    : [];
  const outputs = nodesOf([...gains(b, chains, held).outputs, ...all.filter(({ role }) => role.measure === "gain")]);
  const next = random(seed);
  const bindings = new Map<string, readonly number[]>();
  for (const leaf of topological(outputs.values())) {
    if (leaf.op !== "parameter" && leaf.op !== "input") continue;
    const size = sizeOf(leaf.shape);
    // All examples are one, so that the largest of their sums is the gain.
    const own = Array.from({ length: leaf.op === "input" ? size / batch : size }, () => 3 * (2 * next() - 1));
    bindings.set(
      leafName(leaf),
      Array.from({ length: size }, (_, i) => own[i % own.length]!),
    );
  }
  const chosen = (size: number, place: (example: number) => number): number[] =>
    Array.from({ length: batch * size }, (_, i) => Number(place(Math.floor(i / size)) === i % size));
  for (const chain of chains) {
    const { stream } = chain[0]!;
    bindings.set(
      inputId({ kind: "depth", stream }),
      chosen(chain.length, (example) => (example < ENTRIES ? chain.length - 1 : 0)),
    );
    SHAPE.forEach((size, axis) => {
      const inner = SHAPE.slice(axis + 1).reduce((product, n) => product * n, 1);
      bindings.set(
        inputId({ kind: "place", stream, axis }),
        chosen(size, (example) => Math.floor((example % ENTRIES) / inner) % size),
      );
    });
  }
  const sums = evaluate({ name: "gain", outputs, updates: new Map() }, bindings).outputs;
  const most = (of: (stream: string) => readonly string[]): Map<string, number> =>
    new Map(
      chains.flatMap((chain) => {
        const { stream } = chain[0]!;
        const values = of(stream).flatMap((name) => [...(sums.get(name) ?? [])]);
        return values.length ? [[stream, Math.max(...values)] as const] : [];
      }),
    );
  return {
    gains: most((stream) => [`gain:${stream}:rows`, `gain:${stream}:columns`]),
    monitors: most((stream) => [`monitor:gain:${stream}:forward`, `monitor:gain:${stream}:backward`]),
  };
}

function judge(text: string, seed: number): readonly Judged[] {
  const model = modelOf(text);
  const found = measured(model, seed).gains;
  return streamsOf(model).map((stream): Judged => {
    const proof = proveGain({ ...model, mayGo: () => false }, stream);
    return { stream: stream.name, bound: "at" in proof ? proof.at : null, measured: found.get(stream.name)! };
  });
}

/** What passes a bound by more than the rounding of f64. */
const exceeds = ({ bound, measured: value }: Judged): boolean =>
  bound !== null && !(value <= bound * (1 + 1e-9) + 1e-12);

const samples = fc.sample(connection, { seed: SEED, numRuns: STREAMS * PAGES });
const pages = Array.from({ length: PAGES }, (_, page) => {
  const steps = samples.slice(page * STREAMS, (page + 1) * STREAMS);
  return { steps, text: pageOf(steps, page % 5 === 0 ? 2 : 1) };
});

/** What is proved of the first `count` pages and what is measured; some of all are proved, and not all. */
function judgedOf(count: number): readonly (Judged & { readonly steps: readonly Step[] })[] {
  return pages
    .slice(0, count)
    .flatMap(({ text, steps }, page) => judge(text, page + 1).map((own, i) => ({ ...own, steps: steps[i]! })));
}

/** Those whose gain is larger than what was proved of it. */
const refuted = (judged: ReturnType<typeof judgedOf>): readonly object[] =>
  judged.filter(exceeds).map(({ stream, steps, ...own }) => ({ ...own, text: textOf(stream, steps) }));

describe("random connections", () => {
  it("a tenth of 2,000 of them: none is exceeded", () => {
    const judged = judgedOf(Math.ceil(PAGES / 10));
    const accepted = judged.filter(({ bound }) => bound !== null);
    expect([accepted.length > 20, accepted.length < judged.length]).toEqual([true, true]);
    expect(refuted(accepted)).toEqual([]);
  });

  it("2,000 of them, of which 500 have a proof: none is exceeded", { tags: "slow" }, () => {
    const judged = judgedOf(PAGES);
    expect(judged.length).toBeGreaterThanOrEqual(2000);
    const accepted = judged.filter(({ bound }) => bound !== null);
    expect(accepted.length).toBeGreaterThanOrEqual(500);
    // Nor are they all refused for nothing, or accepted with bounds that say nothing: half come to nine tenths of it.
    expect(accepted.length).toBeLessThan(judged.length);
    expect(accepted.filter(({ bound, measured: value }) => value >= 0.9 * bound!).length).toBeGreaterThan(
      accepted.length / 2,
    );
    expect(refuted(accepted)).toEqual([]);
  });

  it("what is watched while training, which is read off the page, is what is measured", () => {
    const both = pages
      .filter((_, page) => page % 5 === 0)
      .slice(0, 12)
      .flatMap(({ text }) => {
        const found = measured(modelOf(text), 7, true);
        return [...found.monitors].map(([stream, watched]) => [watched, found.gains.get(stream)!] as const);
      });
    expect(both.length).toBeGreaterThan(100);
    for (const [watched, value] of both)
      expect(Math.abs(watched - value)).toBeLessThanOrEqual(1e-9 * Math.max(1, value));
  }, 120_000);

  it("a reading that stops at the returned expression is found out", () => {
    // The fault that this test is made after: what is defined from the stream was not followed.
    const stops = (value: Typed): number | null => {
      const { result, formals } = (value as Extract<Typed, { readonly kind: "call" }>).instance;
      const terms = (e: Typed): readonly Typed[] =>
        e.kind === "binary" && e.f === "+" ? [...terms(e.a), ...terms(e.b)] : [e];
      const stream = terms(result).filter((e) => e.kind === "tensor" && e.tensor === formals[0]);
      return stream.length === 1 ? 1 : null;
    };
    const accepted = pages.slice(1, 5).flatMap(({ text }, page) => {
      const model = modelOf(text);
      const found = measured(model, page + 2).gains;
      return model.statements
        .flatMap((statement) => (statement.kind === "repeat" ? statement.body : []))
        .flatMap((statement): Judged[] =>
          statement.kind === "apply"
            ? [
                {
                  stream: statement.stream.name,
                  bound: stops(statement.value),
                  measured: found.get(statement.stream.name)!,
                },
              ]
            : [],
        );
    });
    const own = accepted.filter(({ bound }) => bound !== null);
    expect(own.length).toBeGreaterThan(0);
    expect(own.filter(exceeds).length).toBeGreaterThan(0);
  }, 60_000);

  it("on compiled kernels: claims of the smallest bounds hold in every state that is tried", async () => {
    const { steps } = pages[0]!;
    const judged = judge(pages[0]!.text, 1);
    const claims = judged.flatMap(({ stream, bound }) =>
      bound !== null && bound > 0 ? [`gain(${stream}) <= ${bound * (1 + 1e-9)}`] : [],
    );
    expect(claims.length).toBeGreaterThan(5);
    const plan = await planOf(pageOf(steps, 2, claims), ["wasm"], { monitors: "all" });
    const device = await openDevice("wasm", { threads: 1 });
    const findings = await verify(plan, device, { seed: 1, runs: 25, source: null });
    await device.close();
    const proved = findings.filter(({ promised }) => promised === "proved");
    expect(proved.map(({ property }) => property)).toEqual(
      claims.map((claim) => expect.stringContaining(claim.split(" ")[0]!) as string),
    );
    expect(
      proved
        .filter(({ ok, runs }) => ok !== true || runs < 10)
        .map(({ property, worst, runs }) => [property, worst, runs]),
    ).toEqual([]);
    // They are come to, too.
    expect(proved.filter(({ worst, limit }) => worst > 0.9 * limit!).length).toBeGreaterThan(claims.length / 2);
  }, 120_000);
});
