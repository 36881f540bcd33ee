/** mhc train: compiles the spec for a device, trains it, and leaves a run folder. */
import { basename, resolve } from "node:path";
import { Command } from "commander";
import { NumericError } from "../../runtime/errors.js";
import { vocabularyOf, type Source } from "../../runtime/data.js";
import { load } from "../../runtime/model.js";
import { openDevice } from "../../runtime/open.js";
import { sourceFrom } from "../../runtime/node/files.js";
import type { DeviceName } from "../../runtime/device.js";
import * as options from "./options.js";
import { SpecError } from "./outcome.js";
import { Progress } from "./progress.js";
import { compileFor, dataNamed, openProject, pairs, type SpecOptions } from "./project.js";
import { openRun } from "./run.js";

interface TrainFlags extends SpecOptions {
  readonly device: DeviceName | "auto";
  readonly steps?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly out?: string;
  readonly monitor?: number;
  readonly sample?: number;
}

/** Steps between two evaluations on the held-out data; there is always one at the end. */
const EVALUATE = 500;

/** Ends an evaluation at Ctrl-C. */
class Interrupted extends Error {}

export const trainCommand = (): Command =>
  new Command("train")
    .description("train a spec and keep the run")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .option("--steps <n>", "train this many steps; schedules still end where the spec says", options.whole)
    .option("--seed <n>", "seed of initial values and batches", options.whole)
    .addOption(options.threads())
    .addOption(options.set())
    .addOption(options.data())
    .option("--out <folder>", "the run folder (default: runs/NAME-TIME)")
    .option("--monitor <k>", "measure gains, mixes and monitored claims every k steps, 0 for never (default: 50)", options.whole)
    .option("--sample <n>", "print this many characters sampled at the end", options.whole)
    .addOption(options.json())
    .action(async (file: string, given: TrainFlags) => {
      const json = given.json === true;
      const project = openProject(file, given);
      const device = await openDevice(given.device, { threads: given.threads });
      const { plan, loaded } = await compileFor(project, device, json, given.monitor !== 0);
      if (!plan.train) throw new SpecError(`error: ${plan.name} has no loss to train`);
      const info = plan.data[0];
      if (!info) throw new SpecError(`error: ${plan.name} names no data to train on`);
      const source = sourceFrom(dataNamed(plan, info.name), loaded.get(info.name)!);
      const model = await load(plan, { device, seed: given.seed });
      const stem = basename(file).replace(/\.mhc$/, "");
      const run = await openRun(given.out, stem, project.text);
      const steps = given.steps ?? plan.train.steps;
      const count = plan.parameters.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
      const progress = new Progress(steps, json);
      const held = `${source.holdoutExamples.toLocaleString("en")} held-out ${info.kind === "characters" ? "windows" : "examples"}`;
      progress.say(`${plan.name}: ${count.toLocaleString("en")} parameters on ${device.name} (${device.adapter}), ${steps} steps of ${plan.train.batch} x ${info.kind === "characters" ? `${info.window} characters` : "1 example"}`);

      const begun = performance.now();
      let loss = Number.NaN;
      let saved = 0;
      let holdout = Number.NaN;
      let seconds = 0;
      const describe = { format: 1, file: resolve(file), set: pairs(given.set, "set"), data: dataOf(project.options.data, info.name), facts: Object.fromEntries([...loaded].map(([name, { facts }]) => [name, facts])), seed: model.seed, device: device.name } as const;
      // Ctrl-C ends the run after the step under way, with a checkpoint; a second one ends the process at once.
      let interrupted = false;
      let stopped = false;
      // Evaluation may take longer than many steps; it heeds Ctrl-C too. Null when it was broken off.
      const watched: Source = {
        ...source,
        *holdout(size) {
          for (const part of source.holdout(size)) {
            if (interrupted) throw new Interrupted();
            yield part;
          }
        },
      };
      const evaluate = (): Promise<number | null> => model.holdout(watched).catch((error: unknown) => {
        if (error instanceof Interrupted) return null;
        throw error;
      });
      const interrupt = (): void => void (interrupted = true);
      process.once("SIGINT", interrupt);
      try {
        for await (const metrics of model.train(source, { steps, monitor: plan.devices[device.name]!.entries["monitor"] ? given.monitor : 0 })) {
          loss = metrics.loss;
          const evaluated = metrics.step % EVALUATE === 0 && metrics.step < steps ? await evaluate() : null;
          const line = { step: metrics.step, loss, ms: metrics.ms, tokens_per_s: metrics.tokensPerSecond, constraints: metrics.constraints, ...(Object.keys(metrics.adapted).length ? { adapted: metrics.adapted } : {}), ...(metrics.monitors ? { monitors: metrics.monitors } : {}), ...(metrics.claims?.length ? { claims: metrics.claims } : {}), ...(evaluated === null ? {} : { holdout: evaluated }) };
          run.log(line);
          progress.step(line);
          if (evaluated !== null) {
            await run.save(model, { ...describe, step: model.step });
            saved = model.step;
          }
          if (interrupted) break;
        }
        seconds = (performance.now() - begun) / 1000;
        if (!interrupted) progress.end(`evaluating on ${held} …`);
        const last = interrupted ? null : await evaluate();
        stopped = last === null;
        holdout = last ?? holdout;
        await run.save(model, { ...describe, step: model.step });
      } catch (error) {
        progress.stop();
        if (error instanceof NumericError && saved > 0) throw new NumericError(`${error.message}; the checkpoint of step ${saved} is in ${run.folder}`, error.fix);
        throw error;
      } finally {
        process.off("SIGINT", interrupt);
      }
      if (stopped) {
        if (json) process.stdout.write(`${JSON.stringify({ done: false, run: run.folder, steps: model.step, loss, device: device.name })}\n`);
        else progress.end(`stopped after step ${model.step}; the checkpoint is in ${run.folder}`);
        process.exitCode = 130;
        await model.close();
        await device.close();
        return;
      }
      const done = { done: true, run: run.folder, steps: model.step, seconds, loss, holdout, device: device.name };
      run.log(done);
      if (json) process.stdout.write(`${JSON.stringify(done)}\n`);
      else {
        const unit = info.kind === "characters" ? "nats a character" : "nats an example";
        progress.end(`trained ${model.step} steps in ${seconds.toFixed(1)} s; hold-out loss ${holdout.toFixed(4)} ${unit} (${held})`);
        if (given.sample && info.kind === "characters") process.stdout.write(`\n${await model.generate("", { tokens: given.sample })}\n\n`);
        process.stdout.write(`the run is in ${run.folder}\n`);
        const data = (given.data ?? []).map((location) => ` --data ${quoted(location)}`).join("");
        const prompt = "Call me ";
        const next = info.kind === "characters" ? [`npx mhc sample ${quoted(run.folder)}${vocabularyOf(prompt).every((character) => info.vocabulary.includes(character)) ? ` --prompt "${prompt}"` : ""}`] : [];
        process.stdout.write(`try next: ${[...next, `npx mhc train ${quoted(file)}${data} --set train.batch=${2 * plan.train.batch}`, `npx mhc compile ${quoted(file)}${data} -o out`].join("\n          ")}\n`);
      }
      await model.close();
      await device.close();
    });

/** As a shell takes it. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Locations from the command line, by the name of their source. */
function dataOf(data: Readonly<Record<string, string>> | undefined, first: string): Record<string, string> {
  return Object.fromEntries(Object.entries(data ?? {}).map(([name, location]) => [name === "" ? first : name, location]));
}
