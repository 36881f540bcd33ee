/**
 * Numbers that are not finite: finding them, and saying which tensor had them first. They are found by the bits of
 * their exponents, which are all ones, and by nothing else: engines and GPUs differ in what they promise of comparisons
 * with NaN. A step whose loss or whose gradients' norm is not finite changes nothing (src/step/optimizer.ts), so what
 * is read after it is what it began with: the parameters that the update of the step before has broken and no others,
 * or, when all of them are finite, the very numbers that its batch makes a NaN of.
 */
import { stateTensor } from "./checkpoint.js";
import type { Batch } from "./data.js";
import type { NotFinite } from "./errors.js";
import type { ParameterInfo, Plan, StateInfo } from "./plan.js";
import { mustValue } from "./records.js";

const EXPONENT = 0x7f800000;
/** Added to an exponent of ones alone it comes to the sign bit. */
const LAST = 0x00800000;

/** How many numbers are infinite or NaN. Mostly none is: that is seen first, without a branch for each. */
export function countNotFinite(values: Float32Array): number {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  let carried = 0;
  for (let i = 0; i < words.length; i++) carried |= (words[i]! & EXPONENT) + LAST;
  if (carried >= 0) return 0;
  let count = 0;
  for (let i = 0; i < words.length; i++) if ((words[i]! & EXPONENT) === EXPONENT) count++;
  return count;
}

/** Where the numbers are. */
export interface Looked {
  readonly plan: Pick<Plan, "parameters" | "states">;
  /** The values of a parameter or a state, with the name that it has in a checkpoint. */
  readonly read: (tensor: ParameterInfo | StateInfo, name: string) => Promise<Float32Array>;
  /** What the step was fed with. */
  readonly batch?: Batch;
  /** Gradients by parameter for that batch, asked for only when all that they are computed from is finite. */
  readonly gradients?: (() => Promise<Readonly<Record<string, Float32Array>>>) | undefined;
}

/** The tensors that are not finite, what came first first. */
export async function findNotFinite({ plan, read, batch = {}, gradients }: Looked): Promise<NotFinite[]> {
  const tensors: NotFinite[] = [];
  const look = (kind: NotFinite["kind"], name: string, values: Float32Array): void => {
    const count = countNotFinite(values);
    if (count) tensors.push({ kind, name, count, size: values.length });
  };
  for (const info of plan.parameters) look("parameter", info.name, await read(info, info.name));
  for (const info of plan.states) look("state", info.name, await read(info, stateTensor(info)));
  for (const [name, values] of Object.entries(batch)) if (values instanceof Float32Array) look("input", name, values);
  if (tensors.length || !gradients) return tensors;
  const byParameter = await gradients();
  for (const { name } of [...plan.parameters].reverse()) look("gradient", name, mustValue(byParameter, name));
  return tensors;
}

/** Names that a message lists beside the first. */
const LISTED = 3;

/**
 * `the parameter \`embed.table\` is not finite (3 of 48 numbers), nor are 2 more: \`mlp.up\`, \`mlp.down\``; null when
 * there are none.
 */
export function inWords(tensors: readonly NotFinite[]): string | null {
  const [first, ...others] = tensors;
  if (!first) return null;
  const listed = `${others.slice(0, LISTED).map(short).join(", ")}${others.length > LISTED ? ", …" : ""}`;
  const more = others.length ? `, nor ${others.length === 1 ? "is" : "are"} ${others.length} more: ${listed}` : "";
  const numbers = `${first.count} of ${first.size} ${first.size === 1 ? "number" : "numbers"}`;
  return `${WHAT[first.kind]} \`${first.name}\` is not finite (${numbers})${more}`;
}

const WHAT: Readonly<Record<NotFinite["kind"], string>> = {
  parameter: "the parameter",
  state: "the optimizer's state",
  input: "the batch's",
  gradient: "the gradient of",
};

const short = ({ kind, name }: NotFinite): string =>
  kind === "state" ? `state \`${name}\`` : kind === "input" ? `the batch's \`${name}\`` : `\`${name}\``;
