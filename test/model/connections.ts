/**
 * Random connections, as text: definitions in any number and order, with the stream used as often as they like. A
 * connection is drawn as a list of steps, each of which defines a value of some kind from values that are there: the
 * stream or what carries it (`s`), the stream without lanes (`z`), coefficients of lanes (`c`), matrices over lanes
 * (`m`, for every token or for all). So it shrinks step by step.
 */
import fc from "fast-check";

/** One definition: which, of what, and with which number or set. */
export interface Step {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly pick: number;
}

export const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.nat(99),
  a: fc.nat(1000),
  b: fc.nat(1000),
  pick: fc.nat(1000),
});
export const connection: fc.Arbitrary<readonly Step[]> = fc.array(step, { minLength: 1, maxLength: 7 });

export const manifolds = `
  manifold Mix = birkhoff(iterations = 5)
  manifold Cut = birkhoff(iterations = 5, truncated)
  manifold Rows = stochastic
  manifold Turn = orthogonal(by = cayley)
  manifold Ring = circulant
  manifold Ball = spectral_ball(radius = 0.5)
  manifold Same = identity`;
const NAMES = ["Mix", "Cut", "Rows", "Turn", "Ring", "Ball", "Same"] as const;
const SETS = ["Mix", "Rows", "Turn", "Ring", "Ball", "Mix", "Rows", "Cut"] as const;
const MAPPED = ["Mix", "Rows", "Turn", "Ring", "Same", "Mix"] as const;

export const blocks = `
block inner(a[t, w]) {
  return [t, w] = tanh(a)
}
block triple(a[i, j, k]) {
  b[i, j, k] = a + a
  return [i, j, k] = a[i, j, k] + b[i, j, k]
}
block halves(a[i, j, k]) {
  return [i, j, k] = 0.5 * triple(a) - 1.5 * a[i, j, k]
}
block shared(a[i, j, k]) {
  c[j, k] = mean[i](a)
  return [i, j, k] = c[j, k]
}
block mixed(S: manifold)(a[i, j, k]) {
  dim h = i
  param p[i, h] ~ normal(0.5) on S
  return [i, j, k] = p[i, h] * a[h, j, k]
}
block bent(a[i, j, k]) {
  return [i, j, k] = tanh(a)
}`;
const NUMBERS = [0.5, -0.3, 2, 9, 1, -1, 0.1] as const;

/** The text of a connection of that name, on streams of three axes. */
export function textOf(name: string, steps: readonly Step[]): string {
  const lines = ["dim m = n, k = n, u = t, v = w", "r[t] = rms[n, w](x)", "z0[t, w] = sum[n](x)", "y[t, w] = f(z0)"];
  const known = { s: ["x"], z: ["z0"], c: ["c0"], m: ["m0"] };
  /** Matrices that are there for every token. */
  const tokens = new Set<string>();
  const at = <T>(list: readonly T[], index: number): T => list[index % list.length]!;
  /** The newest more often than others. */
  const recent = (list: readonly string[], index: number): string => (index % 3 ? list.at(-1)! : at(list, index));
  steps.forEach(({ kind, a, b, pick }, i) => {
    const [s, other, z, c] = [recent(known.s, a), at(known.s, b), recent(known.z, a), recent(known.c, b)];
    const [m, second] = [recent(known.m, b), at(known.m, pick)];
    const matrix = (of: string, rows: string, columns: string): string =>
      `${of}[${tokens.has(of) ? "t, " : ""}${rows}, ${columns}]`;
    const number = at(NUMBERS, pick);
    const makes = (sort: "s" | "z" | "c" | "m", text: string): void => {
      const own = `${sort}${i + 1}`;
      const axes = { s: "n, t, w", z: "t, w", c: "t, n", m: "t, n, m" }[sort];
      if (sort === "m") tokens.add(own);
      lines.push(`${own}[${axes}] = ${text}`);
      known[sort].push(own);
    };
    const coefficient = (of: string): string => (of === "c0" ? "c0[n]" : `${of}[t, n]`);
    if (kind < 12) makes("s", `${number} * ${s}[n, t, w]`);
    else if (kind < 24) makes("s", `${s}[n, t, w] ${pick % 2 ? "+" : "-"} ${other}[n, t, w]`);
    else if (kind < 36)
      makes("s", pick % 2 ? `${matrix(m, "n", "m")} * ${s}[m, t, w]` : `${s}[k, t, w] * ${matrix(m, "k", "n")}`);
    else if (kind < 42) makes("s", `${coefficient(c)} * ${s}[n, t, w]`);
    else if (kind < 46)
      makes(
        "z",
        [
          `sum[n](${s}[n, t, w])`,
          `mean[k](${s}[k, t, w])`,
          `${s}[${b % 3}, t, w]`,
          `sum[n](${s}[n, t, w])`,
          `max[n](${s}[n, t, w])`,
        ][pick % 5]!,
      );
    else if (kind < 50) makes("z", `${coefficient(c)} * ${s}[n, t, w]`);
    else if (kind < 54)
      makes("s", pick % 2 ? `${coefficient(c)} * ${z}[t, w]` : `${s}[n, t, w] + ${number} * ${z}[t, w]`);
    else if (kind < 62)
      makes(
        "s",
        [
          `triple(${s})`,
          `halves(${s})`,
          `shared(${s})`,
          `mixed(${at(SETS, b)})(${s}) as b${i}`,
          `${number} * triple(${s}) + ${other}[n, t, w]`,
        ][pick % 5]!,
      );
    else if (kind < 70) {
      lines.push(`param m${i + 1}[n, m] ~ normal(0.5)${pick % 7 === 0 ? "" : ` on ${at(SETS, b)}`}`);
      known.m.push(`m${i + 1}`);
    } else if (kind < 76)
      makes(
        "m",
        `${at(MAPPED, b)}(gate(${pick % 2 ? "x" : s}, r, ${at(MAPPED, b)}.free, ${at(MAPPED, b)}.start) as g${i})`,
      );
    else if (kind < 80) {
      lines.push(`l${i}[t, n, m] = matrixgate(x, r, n, m, zeros) as g${i}`);
      makes("m", pick % 3 ? `softmax[m](l${i}[t, n, m])` : `${number} * sigmoid(l${i}[t, n, m])`);
    } else if (kind < 86)
      makes(
        "c",
        [
          `sigmoid(gate(x, r, n, zeros) as g${i})`,
          `2 * tanh(gate(${s}, r, n, ones) as g${i})`,
          `gate(x, r, n, ones) as g${i}`,
        ][pick % 3]!,
      );
    else if (kind < 91)
      makes(
        "m",
        pick % 2
          ? `0.5 * ${matrix(m, "n", "m")} + ${number} * ${matrix(second, "n", "m")}`
          : `${matrix(m, "n", "k")} * ${matrix(second, "k", "m")}`,
      );
    else if (kind < 94) {
      const axes = pick % 2 ? "t, u" : "w, v";
      lines.push(`param p${i}[${axes}] ~ normal(0.5) on ${at(SETS, b)}`);
      makes("s", pick % 2 ? `p${i}[t, u] * ${s}[n, u, w]` : `${s}[n, t, v] * p${i}[w, v]`);
    } else if (kind < 96) {
      lines.push(`q${i}[n, t, u, w] = ${s}[n, u, w]`);
      makes("s", `sum[u](q${i}[n, t, u, w] where u <= t)`);
    } else if (kind < 97) makes("s", `bent(${s}) + ${other}[n, t, w]`);
    else if (kind < 98) makes("s", `${s}[n, t, w] * ${other}[n, t, w]`);
    else makes("s", `${s}[n, t, w] / r[t]`);
  });
  const [last, first] = [known.s.at(-1)!, steps[0]!];
  const result = [
    `${last}[n, t, w] + y[t, w]`,
    `y[t, w] + ${last}[n, t, w]`,
    `${last}[n, t, w] + 0.5 * x[n, t, w] + y[t, w]`,
    `0.5 * ${last}[n, t, w] + y[t, w] * c0[n]`,
  ][first.pick % 4]!;
  const used = (own: string): boolean => [...lines, result].some((line) => line.includes(`${own}[`));
  if (used("c0")) lines.splice(1, 0, "param c0[n] ~ normal(1)");
  if (used("m0")) lines.splice(1, 0, "param m0[n, m] ~ normal(0.5) on Mix");
  return (
    `connection ${name}(${NAMES.map((set) => `${set}: manifold`).join(", ")})(x[n, t, w], f) {\n  ` +
    `${lines.join("\n  ")}\n  return [n, t, w] = ${result}\n}`
  );
}

/**
 * A page with a stream for each connection, which goes through it in every layer; some change by what is written too,
 * and by another stream.
 */
export function pageOf(
  connections: readonly (readonly Step[])[],
  layers: number,
  claims: readonly string[] = [],
): string {
  const names = connections.map((_, i) => `x${i}`);
  const changes = connections.map((steps, i) => {
    const { a, pick } = steps[0]!;
    const beside = `x${pick % connections.length}`;
    return (
      `    x${i} through inner via own${i}(${NAMES.join(", ")}) as ` +
      `f${i}${a % 7 === 0 && beside !== `x${i}` ? `\n    x${i} = 0.5 * x${i} + ${beside}` : ""}`
    );
  });
  return `model Random {
  dim context = 2, width = 2, lanes = 3, layers = ${layers}
  input u[context, width]${manifolds}
${names.map((name, i) => `  stream ${name}[lanes, context, width] = ${1 + (i % 3)} * copies(u)`).join("\n")}
  repeat layers {
${changes.join("\n")}
  }
  output v[context, width] = ${names.map((name) => `total(${name})`).join(" + ")}
${claims.length ? `  constrain {\n    ${claims.join("\n    ")}\n  }\n` : ""}}
${blocks}
${connections.map((steps, i) => textOf(`own${i}`, steps)).join("\n")}
`;
}
