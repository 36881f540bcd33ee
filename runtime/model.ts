/**
 * A compiled model on a device: its parameters, its training, its use. `load` makes the session, writes the initial values
 * and hands out this object; generated modules are thin types around it.
 */
import { decode, encode, type Checkpoint } from "./checkpoint.js";
import { fieldsOf, textSource, type Batch, type Source } from "./data.js";
import { sizeOf, turn, type Device, type DeviceName, type Session, type Words } from "./device.js";
import { DataError, DeviceError, NumericError, type NumericReport } from "./errors.js";
import { findNotFinite, inWords, type Looked } from "./finite.js";
import { continued } from "./generate.js";
import type { Files, Host } from "./host.js";
import { drawInto } from "./initialize.js";
import type { LoadOptions, Model, ParameterAccess, ShrunkMetrics, StepMetrics } from "./interface.js";
import { openOn } from "./open.js";
import { pairsSource, parsePairs } from "./pairs.js";
import { isOfTheRun, parametersOf, type DataInfo, type Entry, type ParameterInfo, type Plan, type ShrinkInfo, type TensorRef } from "./plan.js";
import { deciding, firstGates, magnitudes, pinned, resized, type Closing, type Recompile } from "./shrink.js";
import { merged, recordOf, valueAt } from "./records.js";

export type { ClaimMetrics, LoadOptions, Model, ParameterAccess, ShrunkMetrics, StepMetrics, TrainOptions } from "./interface.js";

/** Steps between two looks at the monitors, which take a forward pass. */
const MONITOR = 50;

/** Puts a compiled model on a device. */
export async function loadOn(host: Host, plan: Plan, options: LoadOptions = {}): Promise<Model> {
  const given = options.device ?? "auto";
  const device = typeof given === "object" ? given : await openFor(host, plan, given, options);
  try {
    return await put(host, plan, device, options.seed, device !== given);
  } catch (error) {
    // A device that was opened here has no other owner.
    if (device !== given) await device.close();
    throw error;
  }
}

async function put(host: Host, plan: Plan, device: Device, wanted: number | undefined, owned: boolean): Promise<Model> {
  const devicePlan = plan.devices[device.name];
  if (!devicePlan) throw new DeviceError(`${plan.name} was not compiled for ${device.name}; it has ${Object.keys(plan.devices).join(", ")}`, "compile it with that target");
  const seed = wanted ?? plan.train?.seed ?? 0;
  const refused = new AbortController();
  const loading = device.load(devicePlan).catch((error: unknown) => {
    refused.abort();
    throw error;
  });
  const [session, drawn] = await Promise.all([loading, draw(plan, seed, refused.signal)]).catch(async (error: unknown) => {
    // What cannot be drawn has a session that nobody else would close.
    if (!refused.signal.aborted) await (await loading).close();
    throw error;
  });
  plan.parameters.forEach((parameter, i) => session.write(stateRef(parameter), drawn[i]!));
  for (const state of plan.states) session.write(stateRef(state), atStart(plan, state));
  if (devicePlan.entries["start"]) await session.run("start");
  return makeModel(host, plan, device, session, devicePlan.entries, seed, owned);
}

/** How many values are drawn (in some 10 ms) before the thread is another's. */
const DRAWN_AT_ONCE = 1 << 16;

/** Initial values of all parameters. They are drawn while the device compiles (0.15 s for a million), until it refuses. */
async function draw({ parameters }: Plan, seed: number, refused: AbortSignal): Promise<readonly Float32Array[]> {
  const drawn: Float32Array[] = [];
  for (const parameter of parameters) {
    const values = roomFor(parameter);
    for (let from = 0; from < values.length && !refused.aborted; from += DRAWN_AT_ONCE) {
      drawInto(values, parameter, seed, from, Math.min(values.length, from + DRAWN_AT_ONCE));
      await turn();
    }
    drawn.push(values);
    if (refused.aborted) break;
  }
  return drawn;
}

function roomFor(parameter: ParameterInfo): Float32Array {
  const size = sizeOf(parameter);
  try {
    return new Float32Array(size);
  } catch (error) {
    const room = `${((4 * size) / 2 ** 30).toFixed(1)} GiB for \`${parameter.name}\``;
    throw new DeviceError(`${room} were refused: ${error instanceof Error ? error.message : String(error)}`, "make the model smaller");
  }
}

/** `auto` takes the best device that the plan was compiled for. */
async function openFor(host: Host, plan: Plan, name: DeviceName | "auto", options: LoadOptions): Promise<Device> {
  if (name !== "auto") return openOn(host, name, options);
  if (plan.devices["webgpu"]) {
    const device = await openOn(host, "auto", options);
    if (plan.devices[device.name]) return device;
    await device.close();
  }
  return openOn(host, plan.devices["wasm"] ? "wasm" : plan.devices["javascript"] ? "javascript" : "webgpu", options);
}

/** The host's files. Throws DataError where it has none. */
function filesOf({ files }: Host): Files {
  if (files) return files;
  throw new DataError("a page reads and writes no files", "take the bytes of a checkpoint: `await model.checkpoint()`, `await model.load(bytes)`");
}

const gatesOf = ({ states }: Plan): Plan["states"][number] => states.find(({ name }) => name === "gates")!;

/** What is left of a model that has shrunk, as a checkpoint says it. */
const leftOf = ({ settled, kept }: Plan): string | undefined => (settled ? JSON.stringify(kept) : undefined);

const filled = (tensor: { readonly shape: readonly number[] }, value: number): Float32Array => new Float32Array(sizeOf(tensor)).fill(value);

/** A state before the first step. */
function atStart({ shrinking }: Plan, state: Plan["states"][number]): Float32Array {
  const { name, shape, start = 0 } = state;
  if (!shrinking || (name !== "gates" && name !== "gates:unit")) return filled(state, start);
  const { logits, units } = firstGates(shrinking, shape[0]!, start);
  return name === "gates" ? logits : units;
}

const stateRef = ({ offset, shape }: { readonly offset: number; readonly shape: readonly number[] }): TensorRef => ({ pool: "state", offset, shape, dtype: "f32" });

function makeModel(host: Host, compiled: Plan, device: Device, opened: Session, callable: Readonly<Record<string, Entry>>, seed: number, owned: boolean): Model {
  // These change when the model shrinks.
  let plan = compiled;
  let session = opened;
  let entries = callable;
  let step = 0;
  /** The last step whose loss was finite. */
  let lastFinite: number | null = null;
  const calmer = plan.devices[device.name]!.pools.half > 0 ? "lower the rate, clip the gradients, or take `precision = f32`: half precision ends at 65,504" : "lower the rate, or clip the gradients";
  const text = plan.data.find((info): info is Extract<DataInfo, { kind: "characters" }> => info.kind === "characters") ?? null;

  const entryOf = (name: string, what: string): Entry => {
    const entry = valueAt(entries, name);
    if (!entry) throw new DataError(`${plan.name} cannot ${what}: its spec has ${plan.train ? "no `output`" : "no `loss`"}`);
    return entry;
  };
  /** What the page declares. A field of the data, or an input, that an entry does not read is left out of what it is fed. */
  const declared = new Set([...plan.data.flatMap(fieldsOf), ...Object.keys(plan.inputs)]);
  const feed = (entry: Entry, values: Readonly<Record<string, ArrayLike<number>>>): void => {
    for (const [name, ref] of Object.entries(entry.inputs)) {
      // Schedules need the step everywhere: it is the one that would come next.
      const given = isOfTheRun(name, ref) ? [name === "step" ? step : seed] : valueAt(values, name);
      if (!given) throw new DataError(`\`${name}\` is missing`, `it has the shape [${ref.shape.join(", ")}]`);
      const size = sizeOf(ref);
      if (given.length !== size) throw new DataError(`\`${name}\` has ${given.length} values, and its shape [${ref.shape.join(", ")}] takes ${size}`);
      session.write(ref, ref.dtype === "u32" ? Uint32Array.from(given) : Float32Array.from(given));
    }
    for (const name of Object.keys(values)) {
      if (!valueAt(entry.inputs, name) && !declared.has(name)) throw new DataError(`there is no input \`${name}\``, `there are ${Object.keys(entry.inputs).join(", ")}`);
    }
  };
  const read = async (entry: Entry, name: string): Promise<Words> => session.read(valueAt(entry.outputs, name)!);
  const scalar = async (entry: Entry, name: string): Promise<number> => (await read(entry, name))[0]!;
  const constraintsOf = async (entry: Entry): Promise<Readonly<Record<string, number>>> => {
    const found = new Map<string, number>();
    for (const name of Object.keys(entry.outputs)) if (name.startsWith("constraint:")) found.set(name.slice(11), await scalar(entry, name));
    return recordOf(found);
  };
  const collect = async (entry: Entry, prefix: string): Promise<Readonly<Record<string, Float32Array>>> => {
    const found = new Map<string, Float32Array>();
    for (const name of Object.keys(entry.outputs)) if (name.startsWith(prefix)) found.set(name.slice(prefix.length), (await read(entry, name)) as Float32Array);
    return recordOf(found);
  };
  const monitored = async (batch: Batch): Promise<Pick<StepMetrics, "monitors" | "claims">> => {
    const entry = entries["monitor"];
    if (!entry) throw new DataError(`${plan.name} cannot measure gains and mixes: it was compiled without monitors, or no connection mixes lanes`, "compile it with `--monitors` (`monitors: true`), or train without `monitor`");
    feed(entry, batch);
    const outputs = Object.entries(entry.outputs);
    const read = await session.run("monitor", outputs.map(([, ref]) => ref));
    const values = new Map(outputs.map(([name], i) => [name, read[i]![0]!]));
    return {
      monitors: recordOf([...values].flatMap(([name, value]) => (name.startsWith("monitor:") ? [[name.slice("monitor:".length), value]] : []))),
      claims: plan.claims.flatMap(({ text: claim, bound }) => {
        const value = values.get(`claim:${claim}`);
        return value === undefined ? [] : [{ text: claim, value, holds: value <= bound }];
      }),
    };
  };
  /** The tensors that are not finite now, and the report of them. */
  const examine = async (at: number, more: Partial<Looked> = {}): Promise<{ readonly words: string | null; readonly report: NumericReport }> => {
    const tensors = await findNotFinite({ plan, read: async (info) => (await session.read(stateRef(info))) as Float32Array, ...more });
    return { words: inWords(tensors), report: { step: at, lastFinite, tensors, checkpoint: null } };
  };
  /** A step that was not made: it has changed nothing, so what it began with can be looked at. */
  const refused = async (said: string, batch: Batch): Promise<NumericError> => {
    const { words, report } = await examine(step + 1, { batch, gradients: async () => (await model.gradients(batch)).gradients });
    return new NumericError(`${said}: ${words ?? "every tensor that it is computed from is finite, their sums are not"}`, report.tensors[0]?.kind === "input" ? "look at the data" : calmer, report);
  };
  const sourceOf = (data: Source | string): Source => {
    if (typeof data !== "string") return data;
    if (text) return textSource(text, data);
    const pairs = plan.data.find((info) => info.kind === "pairs");
    if (pairs) return pairsSource(pairs, parsePairs(data));
    throw new DataError(`${plan.name} does not train on text`);
  };

  const model: Model = {
    device, seed,
    get plan() {
      return plan;
    },
    get step() {
      return step;
    },
    async *train(data, { steps, monitor = entries["monitor"] ? MONITOR : 0, recompile } = {}) {
      const source = sourceOf(data);
      if (plan.shrinking?.by === "magnitude" && !recompile && step + (steps ?? plan.train!.steps) >= plan.shrinking.decided) throw new DataError(`${plan.name} is pruned by magnitude, which takes a compiler: nothing masks its units`, "pass `recompile` to `train`, or choose by gates");
      const { batch: size, steps: all } = plan.train!;
      const end = step + (steps ?? Math.max(0, all - step));
      const tokens = size * (text?.window ?? 1);
      // What a step reads back: the loss and the distances, in the same submission.
      const readBack = () => {
        const entry = entryOf("train", "be trained");
        const names = Object.keys(entry.outputs).filter((name) => /^(constraint|adapted|cost):/.test(name));
        // Under a loss scale steps of infinite gradients are skipped, and lower it; without one they are the end.
        const norm = plan.states.some(({ name }) => name === "scale:loss") ? undefined : entry.outputs["norm"];
        return { entry, names, norm, refs: [entry.outputs["loss"]!, ...names.map((name) => valueAt(entry.outputs, name)!), ...(norm ? [norm] : [])] };
      };
      let watched = readBack();
      let closing: Closing | null = null;
      let every = monitor;
      let batch = step < end ? source.batch(size, seed, step) : {};
      while (step < end) {
        const begun = performance.now();
        const fed = batch;
        const { names, norm } = watched;
        feed(watched.entry, fed);
        const running = session.run("train", watched.refs);
        // The next batch is put together while this step runs.
        if (step + 1 < end) batch = source.batch(size, seed, step + 1);
        const read = await running;
        const loss = read[0]![0]!;
        const named = (prefix: string): Readonly<Record<string, number>> => recordOf(names.flatMap((name, i) => (name.startsWith(prefix) ? [[name.slice(prefix.length), read[i + 1]![0]!]] : [])));
        if (!Number.isFinite(loss)) throw await refused(`the loss is ${loss} at step ${step + 1}${lastFinite === null ? "" : `, and was last finite at step ${lastFinite}`}`, fed);
        lastFinite = step + 1;
        const length = norm ? read[names.length + 1]![0]! : 0;
        if (!Number.isFinite(length)) throw await refused(`the norm of the gradients is ${length} at step ${step + 1}, and the loss is finite`, fed);
        step++;
        let shrunk: ShrunkMetrics | null = null;
        if (plan.shrinking && step >= plan.shrinking.decided) {
          closing ??= await close(recompile);
          if (step >= plan.shrinking.until) {
            shrunk = await settle(closing);
            watched = readBack();
            closing = null;
            // With the last connection that mixes, what monitors measure may be gone.
            if (!entries["monitor"]) every = 0;
          }
        }
        const ms = performance.now() - begun;
        const seen = every > 0 && step % every === 0 ? await monitored(step < end ? batch : source.batch(size, seed, step)) : { monitors: null, claims: null };
        yield { step, loss, ms, tokensPerSecond: (1000 * tokens) / ms, constraints: named("constraint:"), adapted: named("adapted:"), costs: named("cost:"), shrunk, ...seen };
      }
      // A loss is that before the update: of the page's last update no loss tells. Of others the next step does, or the checkpoint.
      if (lastFinite !== step || step < all) return;
      const { words, report } = await examine(step);
      if (words) throw new NumericError(`${words} after step ${step}, whose loss, that before its update, was finite`, calmer, report);
    },
    async holdout(data) {
      const entry = entryOf("loss", "be evaluated");
      const source = sourceOf(data);
      let total = 0;
      let examples = 0;
      for (const { batch, count } of source.holdout(plan.train!.batch)) {
        feed(entry, batch);
        await session.run("loss");
        const losses = await read(entry, "losses");
        for (let i = 0; i < count; i++) total += losses[i]!;
        examples += count;
      }
      if (Number.isFinite(total)) return total / examples;
      const { words, report } = await examine(step);
      throw new NumericError(`the hold-out loss is ${total / examples} after step ${step}${words ? `: ${words}` : ", and all parameters are finite"}`, calmer, report);
    },
    async evaluate(batch) {
      const entry = entryOf("loss", "be evaluated");
      feed(entry, batch);
      await session.run("loss");
      const losses = await read(entry, "losses");
      return { loss: Array.from(losses).reduce((sum, loss) => sum + loss, 0) / losses.length, constraints: await constraintsOf(entry) };
    },
    async gradients(batch) {
      const entry = entryOf("gradients", "be differentiated");
      feed(entry, batch);
      await session.run("gradients");
      return { loss: await scalar(entry, "loss"), gradients: await collect(entry, "gradient:") };
    },
    async forward(inputs) {
      const name = plan.train ? "outputs" : "forward";
      const entry = entryOf(name, "compute outputs");
      feed(entry, inputs);
      await session.run(name);
      return recordOf(await Promise.all(Object.keys(plan.outputs).map(async (output) => [output, (await read(entry, output)) as Float32Array] as const)));
    },
    async vjp(inputs, cotangents) {
      const entry = entryOf("vjp", "be differentiated");
      feed(entry, merged(inputs, recordOf(Object.entries(cotangents).map(([name, values]) => [`cotangent:${name}`, values]))));
      await session.run("vjp");
      return { inputs: await collect(entry, "cotangent:"), parameters: await collect(entry, "gradient:") };
    },
    async generate(prompt, options = {}) {
      const entry = entryOf("forward", "generate text");
      if (!text || !entry.outputs["logits"]) throw new DataError(`${plan.name} does not generate text`);
      return continued(prompt, text, { ...options, seed: options.seed ?? seed }, async (window) => {
        feed(entry, recordOf([[`${text.name}.token`, window]]));
        await session.run("forward");
        return (await read(entry, "logits")) as Float32Array;
      });
    },
    parameters: () => recordOf(plan.parameters.map((info) => [info.name, accessTo(info)])),
    checkpoint: async () => encoded(await everything()),
    async save(path) {
      const { writeAtomically } = filesOf(host);
      const tensors = await everything();
      const { words, report } = await examine(step, { read: (_, name) => Promise.resolve(tensors.get(name)!.data) });
      if (words) throw new NumericError(`the checkpoint of step ${step} is not written: ${words}`, calmer, report);
      await writeAtomically(path, encoded(tensors));
    },
    async load(from) {
      if (typeof from !== "string") return restore(decode(from));
      const bytes = await filesOf(host).readBytes(from);
      try {
        restore(decode(bytes));
      } catch (error) {
        if (error instanceof DataError) throw new DataError(`${from}: ${error.message}`, error.fix);
        throw error;
      }
    },
    async close() {
      await session.close();
      // A device that the caller opened is the caller's to close.
      if (owned) await device.close();
    },
  };
  return model;

  /** How much each unit is needed, in the vector of gates. */
  async function ranksOf(shrinking: ShrinkInfo): Promise<ArrayLike<number>> {
    if (shrinking.by === "gates") return (await session.read(stateRef(gatesOf(plan)))) as Float32Array;
    const cut = plan.parameters.filter(({ cuts }) => cuts);
    const values = new Map(await Promise.all(cut.map(async (info) => [info, (await session.read(stateRef(info))) as Float32Array] as const)));
    return magnitudes(shrinking, cut, (info) => values.get(info)!);
  }

  async function close(recompile: Recompile | undefined): Promise<Closing> {
    const closing = deciding(plan, await ranksOf(plan.shrinking!), recompile);
    await turn();
    return closing;
  }

  /** Decides the gates: closed units are masked, and left out where there is a plan without them. */
  async function settle({ made }: Closing): Promise<ShrunkMetrics> {
    const waiting = performance.now();
    const { plan: small, ms } = await made;
    if (plan.shrinking!.by === "gates") {
      const gates = gatesOf(plan);
      session.write(stateRef(gates), pinned(plan.shrinking!, small.kept!, gates.shape[0]!));
    }
    const compiled = small.devices !== plan.devices;
    if (compiled) await become(small);
    else {
      const { shrinking: _, ...rest } = plan;
      plan = rest;
    }
    return { share: small.cost!.share, parameters: parametersOf(plan), compiled, compileMs: ms, swapMs: performance.now() - waiting };
  }

  /** Goes on with a smaller plan: its tensors are cut from those of the plan before. */
  async function become(after: Plan): Promise<void> {
    const devicePlan = after.devices[device.name];
    if (!devicePlan) throw new DeviceError(`the smaller ${plan.name} was not compiled for ${device.name}`, "compile it for the device that it runs on");
    const next = await device.load(devicePlan);
    const tensors = await resized(plan, after, async (info) => (await session.read(stateRef(info))) as Float32Array);
    for (const { info, data } of tensors) next.write(stateRef(info), data);
    const before = session;
    session = next;
    plan = after;
    entries = devicePlan.entries;
    await before.close();
  }

  async function everything(): Promise<Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>> {
    const tensors = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
    for (const info of plan.parameters) tensors.set(info.name, { shape: info.shape, data: (await session.read(stateRef(info))) as Float32Array });
    for (const info of plan.states) tensors.set(`state:${info.name}`, { shape: info.shape, data: (await session.read(stateRef(info))) as Float32Array });
    return tensors;
  }

  function encoded(tensors: Checkpoint["tensors"]): Uint8Array<ArrayBuffer> {
    return encode({ tensors, metadata: { format: "mhc 1", model: plan.name, step: `${step}`, seed: `${seed}`, ...(leftOf(plan) === undefined ? {} : { kept: leftOf(plan)! }) } });
  }

  function accessTo(info: ParameterInfo): ParameterAccess {
    return {
      shape: info.shape, axes: info.axes,
      get: async () => (await session.read(stateRef(info))) as Float32Array,
      set(values) {
        if (values.length !== sizeOf(info)) throw new DataError(`\`${info.name}\` has ${sizeOf(info)} values, not ${values.length}`);
        session.write(stateRef(info), Float32Array.from(values));
      },
    };
  }

  function restore({ tensors, metadata }: Checkpoint): void {
    const wanted = [...plan.parameters.map((info) => ({ info, name: info.name, start: (): Float32Array => filled(info, 0) })), ...plan.states.map((info) => ({ info, name: `state:${info.name}`, start: (): Float32Array => atStart(plan, info) }))];
    if (metadata["kept"] !== leftOf(plan)) {
      throw metadata["kept"] === undefined
        ? new DataError(`the checkpoint is of the whole ${metadata["model"] ?? "model"}, and this is what is left of one that has shrunk`, "load it into a module of the page itself")
        : new DataError(`the checkpoint is of a ${metadata["model"] ?? "model"} that has shrunk${plan.settled ? " otherwise" : ""}`, "compile what is left of it: `mhc compile --run FOLDER -o out`");
    }
    // Everything is checked before anything is written, so that a wrong file leaves the model as it was.
    for (const { info, name } of wanted) {
      const found = tensors.get(name);
      if (!found) {
        if (name.startsWith("state:")) continue;
        throw new DataError(`the checkpoint has no \`${name}\``, `it is of ${metadata["model"] ?? "another model"}`);
      }
      if (found.shape.join() !== info.shape.join()) throw new DataError(`\`${name}\` is [${found.shape.join(", ")}] in the checkpoint, and [${info.shape.join(", ")}] in the model`);
    }
    const trained = Number(metadata["step"] ?? 0);
    if (!Number.isInteger(trained) || trained < 0) throw new DataError(`the checkpoint's step is ${metadata["step"]}`);
    for (const { info, name, start } of wanted) {
      const found = tensors.get(name);
      session.write(stateRef(info), found ? found.data : start());
    }
    step = trained;
    lastFinite = null;
  }
}
