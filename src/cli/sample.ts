/** mhc sample: continues a text with the model of a run. */
import { Command } from "commander";
import { load } from "../../runtime/index.js";
import type { DeviceName } from "../../runtime/device.js";
import { tokenizerOfRun } from "./data.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { mustCompile, optionsOf, report } from "./project.js";
import { readRun } from "../tools/run.js";

interface SampleFlags {
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly head?: string;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The command `mhc sample`. */
export const sampleCommand = (): Command =>
  new Command("sample")
    .description("continue a text with a trained run")
    .argument("<run>", "a run folder")
    .option("--prompt <text>", "the text to continue", "")
    .option("--tokens <n>", "how many characters, or tokens of a tokenizer, at most", options.whole, 300)
    .option("--temperature <t>", "0 takes the likeliest", options.decimal, 0.8)
    .option("--top-k <k>", "draw from the k likeliest only", options.positive)
    .option("--seed <n>", "seed of the draw", options.whole)
    .option("--head <name>", "which scores to draw from, where the loss has several: the block that makes them")
    .addOption(options.device())
    .addOption(options.threads())
    .addOption(options.json())
    .action(async (folder: string, flags: SampleFlags) => {
      const run = readRun(folder);
      const device = await openAsked(flags);
      try {
        const { compile } = await import("../compile/compile.js");
        const compiled = await compile(run.spec, { ...(await optionsOf(run)), devices: [device.target] });
        await report(compiled, flags.json === true);
        const model = await load(mustCompile(compiled), { device });
        await model.load(run.checkpoint);
        const { prompt, tokens, temperature, topK, seed, head } = flags;
        const text = await model.generate(prompt, {
          tokens,
          temperature,
          topK,
          seed,
          head,
          tokenizer: await tokenizerOfRun(run),
        });
        process.stdout.write(
          flags.json
            ? `${JSON.stringify({ text, step: model.step, ...(head === undefined ? {} : { head }) })}\n`
            : `${text}\n`,
        );
        await model.close();
      } finally {
        await device.close();
      }
    });
