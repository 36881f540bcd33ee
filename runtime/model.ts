/**
 * A compiled model on a device: its parameters, its training, its use. `load` makes the session, writes the initial
 * values and hands out this object; generated modules are thin types around it. What a call was given is checked at
 * once, and what it does is done in its turn (`turns.ts`), so that calls may overlap in every way.
 */
import { describe, floatsOf, isObject, numbersOf, optionsOf, signalOf, U32_MAX, whole } from "./check.js";
import { decode, encode } from "./checkpoint.js";
import type { Source } from "./data.js";
import { sizeOf, turn, type Device, type Words } from "./device.js";
import { DataError, DeviceError, NumericError } from "./errors.js";
import { checkedFor, sourceOf, write, type Fed } from "./feed.js";
import { continuationOf, continued, headOf } from "./generate.js";
import type { Files, Host } from "./host.js";
import { drawInto } from "./initialize.js";
import {
  atStart,
  calmer,
  entryOf,
  examine,
  notFinite,
  readState,
  runEntry,
  outputsOf,
  scalarsOf,
  stateRef,
  textOf,
  type Instance,
  type Wanted,
} from "./instance.js";
import { mustAt } from "./lookup.js";
import type { LoadOptions, Model, ParameterAccess } from "./interface.js";
import { checkCompiled, openFor } from "./open.js";
import type { ParameterInfo, Plan } from "./plan.js";
import { merged, mustValue, recordOf } from "./records.js";
import { encoded, metadataOf, restore, tensorsOf } from "./restore.js";
import { mustSingle, named, type OfOutput } from "./roles.js";
import { train } from "./training.js";
import { createTurns, type Turns } from "./turns.js";

export type {
  CallOptions,
  ClaimMetrics,
  LoadOptions,
  Model,
  ParameterAccess,
  ShrunkMetrics,
  StepMetrics,
  TrainOptions,
} from "./interface.js";

/**
 * Puts a compiled model on a device. Throws DataError for a wrong plan or options, DeviceError when there is no such
 * device.
 */
export async function loadOn(host: Host, plan: Plan, options?: LoadOptions): Promise<Model> {
  if (!isObject(plan) || plan.format !== 1 || !isObject(plan.devices)) {
    throw new DataError(
      `the plan is ${describe(plan)}, and a compiled one is expected`,
      "pass `plan` of `compile`, or of a generated module",
    );
  }
  if (!isObject(plan.roles)) {
    throw new DataError(
      "the plan does not say what its outputs are: it was compiled by an older version of mhc",
      "compile its page again",
    );
  }
  const checked = optionsOf("load", options);
  const seed = whole("seed", checked.seed, 0, U32_MAX) ?? plan.train?.seed ?? 0;
  const { device = "auto" } = checked;
  if (typeof device !== "object") {
    // A device that is opened here has no other owner.
    return openFor(host, plan, device, checked, (opened) => put(host, plan, opened, seed, true));
  }
  if (!isObject(device) || typeof device.load !== "function") {
    throw new DeviceError(
      `\`device\` is ${describe(device)}, and a device or its name is expected`,
      "pass what `openDevice` gives",
    );
  }
  return put(host, plan, device, seed, false);
}

async function put(host: Host, plan: Plan, device: Device, seed: number, owned: boolean): Promise<Model> {
  checkCompiled(plan, device.name);
  const devicePlan = plan.devices[device.name]!;
  const refused = new AbortController();
  const loading = device.load(devicePlan).catch((error: unknown) => {
    refused.abort();
    throw error;
  });
  const drawing = draw(plan, seed, refused.signal);
  const [session, drawn] = await Promise.all([loading, drawing]).catch(async (error: unknown) => {
    // What cannot be drawn has a session that nobody else would close.
    if (!refused.signal.aborted) await (await loading).close();
    throw error;
  });
  plan.parameters.forEach((parameter, i) => session.write(stateRef(parameter), drawn[i]!));
  for (const state of plan.states) session.write(stateRef(state), atStart(plan, state));
  const { entries } = devicePlan;
  if (entries["start"]) await session.run("start");
  return modelOf(host, { device, seed, plan, session, entries, step: 0, lastFinite: null, closing: null }, owned);
}

/** How many values are drawn (in some 10 ms) before the thread is another's. */
const DRAWN_AT_ONCE = 1 << 16;

/** Initial values of all parameters, drawn while the device compiles (0.15 s for a million), until it refuses. */
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
    const why = error instanceof Error ? error.message : String(error);
    throw new DeviceError(`${room} were refused: ${why}`, "make the model smaller");
  }
}

/** The host's files. Throws DataError where it has none. */
function filesOf({ files }: Host): Files {
  if (files) return files;
  throw new DataError(
    "a page reads and writes no files",
    "take the bytes of a checkpoint: `await model.checkpoint()`, `await model.load(bytes)`",
  );
}

function modelOf(host: Host, instance: Instance, owned: boolean): Model {
  const turns = createTurns();
  let closed: Promise<void> | null = null;
  /** Feeds an entry, runs it, and reads back, in one turn. */
  const runWith = (name: string, fed: Fed, wanted: Wanted | null): Promise<readonly OfOutput<Words>[]> =>
    turns.take(() => {
      write(instance, mustValue(instance.entries, name), fed);
      return runEntry(instance, name, wanted);
    });

  return {
    device: instance.device,
    seed: instance.seed,
    get plan() {
      return instance.plan;
    },
    get step() {
      return instance.step;
    },
    train: (data, options) => train(instance, turns, data, options),
    async holdout(data, options) {
      const signal = signalOf(optionsOf("holdout", options).signal);
      entryOf(instance, "loss", "be evaluated");
      const source = sourceOf(instance.plan, data);
      return turns.take(() => meanLoss(instance, source, signal), signal);
    },
    async evaluate(batch) {
      const fed = checkedFor(instance, "loss", "be evaluated", batch);
      const results = await runWith("loss", fed, EVALUATED);
      const losses = Array.from(mustSingle("losses", results));
      const loss = losses.reduce((sum, each) => sum + each, 0) / losses.length;
      return { loss, constraints: named("constraint", scalarsOf(results)) };
    },
    async gradients(batch) {
      const fed = checkedFor(instance, "gradients", "be differentiated", batch);
      const results = await runWith("gradients", fed, DIFFERENTIATED);
      const gradients = named("gradient", results) as Record<string, Float32Array>;
      return { loss: mustAt(mustSingle("loss", results), 0), gradients };
    },
    async forward(inputs) {
      const name = instance.plan.train ? "outputs" : "forward";
      const fed = checkedFor(instance, name, "compute outputs", inputs);
      return named("output", await runWith(name, fed, OUTPUTS)) as Record<string, Float32Array>;
    },
    async vjp(inputs, cotangents) {
      entryOf(instance, "vjp", "be differentiated");
      if (!isObject(cotangents)) {
        throw new DataError(`the cotangents are ${describe(cotangents)}, and arrays by output are expected`);
      }
      const fed = isObject(inputs) ? merged(inputs, cotangentsById(instance, cotangents)) : inputs;
      const results = await runWith("vjp", checkedFor(instance, "vjp", "be differentiated", fed), null);
      return {
        inputs: named("cotangent", results) as Record<string, Float32Array>,
        parameters: named("gradient", results) as Record<string, Float32Array>,
      };
    },
    async generate(prompt, options) {
      const text = textOf(instance.plan);
      entryOf(instance, "forward", "generate text");
      const heads = Object.keys(named("logits", outputsOf(instance, "forward")));
      const head = headOf(instance.plan.name, heads, options?.head);
      if (!text || head === null) throw new DataError(`${instance.plan.name} does not generate text`);
      const continuation = continuationOf(text, prompt, options, instance.seed);
      const logitsOf = async (window: Uint32Array): Promise<Float32Array> => {
        write(instance, mustValue(instance.entries, "forward"), new Map([[`${text.name}.token`, window]]));
        return mustValue(named("logits", await runEntry(instance, "forward", LOGITS)), head) as Float32Array;
      };
      const broken = (): Promise<NumericError> =>
        notFinite(
          instance,
          instance.step,
          (words) => `the scores of the next character are not finite after step ${instance.step}: ${words ?? FINITE}`,
        );
      return turns.take(() => continued(text, continuation, logitsOf, broken), continuation.signal);
    },
    parameters: () => recordOf(instance.plan.parameters.map((info) => [info.name, accessTo(instance, turns, info)])),
    checkpoint: () => turns.take(() => encoded(instance)),
    async save(path) {
      if (typeof path !== "string" || path === "") {
        throw new DataError(`\`save\` takes the path of a file, and this is ${describe(path)}`);
      }
      const files = filesOf(host);
      const bytes = await turns.take(async () => {
        const tensors = await tensorsOf(instance);
        const read = (_: unknown, name: string): Promise<Float32Array> => Promise.resolve(tensors.get(name)!.data);
        const { words, report } = await examine(instance, instance.step, { read });
        if (words) {
          throw new NumericError(
            `the checkpoint of step ${instance.step} is not written: ${words}`,
            calmer(instance),
            report,
          );
        }
        return encode({ tensors, metadata: metadataOf(instance) });
      });
      await files.writeAtomically(path, bytes);
    },
    async load(from) {
      if (typeof from !== "string") {
        const checkpoint = decode(from);
        return turns.take(() => restore(instance, checkpoint));
      }
      // The file is read within the turn, so that what is called after this comes after it.
      return turns.take(() => restoreFrom(instance, filesOf(host), from));
    },
    close() {
      closed ??= turns.end(
        async () => {
          await instance.session.close();
          // A device that the caller opened is the caller's to close.
          if (owned) await instance.device.close();
        },
        () => new DeviceError(`${instance.plan.name} is closed`, "load it again"),
      );
      return closed;
    },
  };
}

const FINITE = "all parameters are finite";

/** What calls ask of the entries that they run. */
const LOSSES: Wanted = new Set(["losses"]);
const EVALUATED: Wanted = new Set(["losses", "constraint"]);
const DIFFERENTIATED: Wanted = new Set(["loss", "gradient"]);
const OUTPUTS: Wanted = new Set(["output"]);
const LOGITS: Wanted = new Set(["logits"]);

/** Cotangents of outputs by the inputs of the entry `vjp` that take them. */
function cotangentsById(
  { plan }: Instance,
  cotangents: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const roles = mustValue(plan.roles.entries, "vjp").inputs;
  const ids = new Map(
    Object.entries(roles).flatMap(([id, role]) => (role.kind === "cotangent" ? [[role.name, id] as const] : [])),
  );
  // One of no output is refused under the name that it would have.
  return recordOf(
    Object.entries(cotangents).map(([name, values]) => [ids.get(name) ?? `cotangent:${name}`, values] as const),
  );
}

/** Mean loss over what a source holds out. */
async function meanLoss(instance: Instance, source: Source, signal: AbortSignal | undefined): Promise<number> {
  const { plan, entries } = instance;
  const size = plan.train!.batch;
  let total = 0;
  let examples = 0;
  for (const part of source.holdout(size)) {
    if (signal?.aborted) throw signal.reason;
    const { batch, count } = isObject(part) ? part : { batch: part, count: size };
    write(instance, entries["loss"]!, checkedFor(instance, "loss", "be evaluated", batch));
    const losses = mustSingle("losses", await runEntry(instance, "loss", LOSSES));
    const real = whole("count", count, 1, size);
    for (let i = 0; i < real; i++) total += losses[i]!;
    examples += real;
  }
  if (examples === 0) {
    throw new DataError(`the data of ${plan.name} holds nothing out to evaluate on`, "hold out a share of it");
  }
  if (Number.isFinite(total)) return total / examples;
  throw await notFinite(
    instance,
    instance.step,
    (words) =>
      `the hold-out loss is ${total / examples} after step ${instance.step}${words ? `: ${words}` : `, and ${FINITE}`}`,
  );
}

async function restoreFrom(instance: Instance, files: Files, path: string): Promise<void> {
  const bytes = await files.readBytes(path);
  try {
    await restore(instance, decode(bytes));
  } catch (error) {
    if (error instanceof DataError) throw new DataError(`${path}: ${error.message}`, error.fix);
    throw error;
  }
}

function accessTo(instance: Instance, turns: Turns, { name, shape, axes }: ParameterInfo): ParameterAccess {
  /** Where it lies now: a model that has shrunk has others, or of another size. */
  const now = (): ParameterInfo => {
    const info = instance.plan.parameters.find((parameter) => parameter.name === name);
    if (!info) {
      throw new DataError(`\`${name}\` is gone: ${instance.plan.name} has shrunk`, "ask for `parameters()` again");
    }
    return info;
  };
  const fitting = (values: ArrayLike<number>): ParameterInfo => {
    const info = now();
    if (values.length !== sizeOf(info)) {
      throw new DataError(`\`${name}\` has ${sizeOf(info)} values, not ${values.length}`);
    }
    return info;
  };
  return {
    shape,
    axes,
    get: () => turns.take(() => readState(instance, now())),
    set(given) {
      turns.check();
      const values = numbersOf(name, given);
      fitting(values);
      const copy = floatsOf(name, values);
      const written = turns.take(() => instance.session.write(stateRef(fitting(copy)), copy));
      // Whoever does not wait for it is told by the next call.
      written.catch(() => undefined);
      return written;
    },
  };
}
