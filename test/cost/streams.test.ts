/**
 * docs/streams.md: what each residual stream costs in one decoder, and which of them has a gain that is proved.
 * UPDATE_DOCS=1 (`npm run docs:streams`) writes the table anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { check, compile } from "../../src/compile/compile.js";
import { profiles } from "../../src/cost/profiles.js";
import { cost, type CostReport } from "../../src/cost/report.js";
import { snippetsOf, withTables } from "../helpers/reference.js";

const PAGE = new URL("../../docs/streams.md", import.meta.url);
const facts = {
  corpus: { vocabulary: [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;:!?'-\n()"].sort() },
};
const cpu = profiles.find(({ name }) => name === "cpu")!;

/** A stream: how both sublayers change it, and what reads its lanes at the end; `head` null where it has none. */
interface Stream {
  readonly via: readonly [attention: string, mlp: string];
  readonly head: string | null;
}
const stream = (via: string, head: string | null = null): Stream => ({ via: [via, via], head });

const PLAIN = stream("residual");
const STREAMS: readonly Stream[] = [
  PLAIN,
  stream("scaled_residual"),
  stream("affine_residual"),
  stream("residual_gate"),
  { via: ["depth_scaled(k = 2 * l + 2)", "depth_scaled(k = 2 * l + 3)"], head: null },
  stream("identity", "total"),
  stream("hunyuan_v4", "hunyuan_v4_head"),
  stream("altup", "lane_mean"),
  stream("hc", "total"),
  stream("mhc(Mixing)", "total"),
  stream("deepseek_v4(Mixing)", "lane_mean"),
  stream("deepseek_v4(Mixing)", "deepseek_v4_head"),
  stream("qwen4(32)", "qwen4_head(32)"),
];

const pageOf = ({ via, head }: Stream, claim = ""): string => {
  const [attention, mlp] = via;
  const start = "embed(corpus.token) + positions()";
  return `model Decoder {
  dim context = 128, width = 512, heads = 8, layers = 2${head === null ? "" : ", lanes = 4"}
  data corpus = characters("corpus.txt", window = context)
  ${attention.includes("Mixing") ? "manifold Mixing = birkhoff(convention = deepseek)" : ""}
  stream x[${head === null ? "" : "lanes, "}context, width] = ${head === null ? start : `copies(${start})`}
  repeat layers${attention.includes("* l") ? " as l" : ""} {
    x through attention(heads) via ${attention}
    x through mlp(hidden = 4 * width) via ${mlp}
  }
  loss = cross_entropy(unembed(norm(${head === null ? "x" : `${head}(x)`})), corpus.next)
  ${claim}
  train { batch = 8, steps = 10, optimizer = adamw(rate = 1e-3) }
}
`;
};

const nameOf = ({ via: [attention], head }: Stream): string =>
  `\`${attention.replace(/\(k = .*/, "(k)")}\`${head === null || head === "total" ? "" : `, \`${head}\``}`;

/** Whether the checker proves that no gain of the stream is above 1. */
function isProved(page: Stream): boolean {
  const { diagnostics } = check(pageOf(page, "constrain { gain(x) <= 1.001 }"), { file: "page.mhc", facts });
  const errors = diagnostics.filter(({ severity }) => severity === "error").map(({ code }) => code);
  expect(errors.filter((code) => code !== "MHC305")).toEqual([]);
  return !errors.length;
}

async function reportOf(page: Stream): Promise<CostReport> {
  const compiled = await compile(pageOf(page), { file: "page.mhc", devices: ["wasm"], facts });
  expect(compiled.diagnostics.map(({ message }) => message)).toEqual([]);
  return cost(compiled, cpu);
}

/** By how much one number is above another. */
const above = (whole: number, plain: number): string => `+${(100 * (whole / plain - 1)).toFixed(1)}%`;

async function table(): Promise<string> {
  const plain = await reportOf(PLAIN);
  const rows: string[][] = [
    ["connection, head", "parameters", "operations", "bytes moved", "memory", "dispatches", "gain <= 1.001"],
    ["---", "---:", "---:", "---:", "---:", "---:", "---"],
  ];
  for (const each of STREAMS) {
    const report = await reportOf(each);
    const figures =
      each === PLAIN
        ? [
            plain.parameters.toLocaleString("en"),
            `${(plain.flops_per_token / 1e6).toFixed(1)} M a token`,
            `${Math.round(plain.bytes_per_token / 1e3)} kB a token`,
            `${Math.round(plain.memory_bytes / 2 ** 20)} MiB`,
          ]
        : [
            above(report.parameters, plain.parameters),
            above(report.flops_per_token, plain.flops_per_token),
            above(report.bytes_per_token, plain.bytes_per_token),
            above(report.memory_bytes, plain.memory_bytes),
          ];
    rows.push([nameOf(each), ...figures, `${report.dispatches}`, isProved(each) ? "proved" : "measured"]);
  }
  return rows.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

it("are pages that compile", () => {
  const [page, own, ...others] = snippetsOf(readFileSync(PAGE, "utf8"));
  const errorsOf = (text: string): readonly string[] =>
    check(text, { file: "page.mhc", facts }).diagnostics.map(({ message }) => message);
  expect(errorsOf(page!.text)).toEqual([]);
  const used = page!.text.replaceAll("deepseek_v4(Mixing)", "kept_lanes").replace(/^ *manifold.*\n/m, "");
  expect(used).toContain("via kept_lanes");
  expect(errorsOf(`${used}\n${own!.text}`)).toEqual([]);
  expect(others).toEqual([]);
});

it("are what docs/streams.md says: npm run docs:streams", { tags: "slow" }, async () => {
  const document = readFileSync(PAGE, "utf8");
  const made = await table();
  const written = withTables(document, { costs: () => made });
  expect(written).toContain(made);
  if (process.env["UPDATE_DOCS"]) writeFileSync(PAGE, written);
  else expect(written).toBe(document);
});
