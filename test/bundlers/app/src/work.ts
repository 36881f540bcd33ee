/**
 * What the app does, on a page or in a worker: it trains the generated module and generates text, and compiles a page
 * of its own and runs that.
 */
import { check, compile, render } from "mhc-lang";
import { load, MhcError, openDevice, type StepMetrics } from "mhc-lang/runtime";
import { Little, type LittleParameters } from "./generated/little.js";
import type { Failure, Outcome } from "./outcome.js";

const text = "the whale and the sea and the ship and the whale. ".repeat(20);

/** A page that is compiled where the app runs. */
const page = `model Tab {
  dim n = 4
  input u[n]
  output y[n] = 2 * relu(u[n])
}
`;

async function done(): Promise<Outcome> {
  const model = await Little.create({ device: "auto", seed: 1, threads: 2 });
  const steps: StepMetrics[] = [];
  for await (const step of model.train(text, { steps: 6 })) steps.push(step);
  const said = await model.generate("the ", { tokens: 8, temperature: 0 });
  const parameters: LittleParameters = model.parameters();
  const { shape } = parameters["embed.table"];
  const device = model.device;
  await model.close();
  const opened = await openDevice("auto", { threads: 2 });
  const { adapter } = opened;
  await opened.close();

  const { diagnostics, sources } = check(page.replace("relu(u[n])", "relu(v[n])"), { file: "tab.mhc" });
  const { plan } = await compile(page, { file: "tab.mhc", devices: ["wasm", "webgpu", "javascript"] });
  if (!plan) throw new Error("the page of the tab does not compile");
  const tab = await load(plan, { threads: 1 });
  const { y } = await tab.forward({ u: Float32Array.of(-1, 0, 1, 2) });
  await tab.close();
  return {
    isolated: globalThis.crossOriginIsolated,
    device,
    adapter,
    losses: steps.map(({ loss }) => loss),
    said,
    width: shape[1] ?? 0,
    compiled: [...(y ?? [])],
    diagnostic: diagnostics.map((diagnostic) => render(diagnostic, sources)).join("\n"),
  };
}

export async function work(): Promise<Outcome | Failure> {
  try {
    return await done();
  } catch (error) {
    if (error instanceof MhcError) return { name: error.name, message: error.message, fix: error.fix };
    return {
      name: "unexpected",
      message: error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error),
      fix: null,
    };
  }
}
