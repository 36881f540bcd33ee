/**
 * What a session promises beside its numbers: memory that begins as it should, writes in the middle of a tensor, times
 * of every dispatch, and nothing after the end.
 */
import type { KernelPrinter } from "../../../codegen/target.js";
import { bytesOf, type Device, type Session, type Words } from "../../../runtime/device.js";
import { MhcError } from "../../../runtime/errors.js";
import type { DevicePlan, HostPool, TensorRef } from "../../../runtime/plan.js";
import { mustValue } from "../../../runtime/records.js";
import { createBuilder } from "../../graph/create-builder.js";
import type { KernelProfile } from "../../kernel/profile.js";
import { schedule } from "../../schedule/plan.js";

/** What came of the promises of a device. */
export interface SessionFinding {
  /** How many were looked at. */
  readonly count: number;
  /** Those that are not kept, in words. */
  readonly broken: readonly string[];
}

const SIZE = 70;
const POOLS: readonly HostPool[] = ["state", "work", "ints", "out"];
const CONSTANT = [3, 1, 4, 1, 5, 9, 2, 6];

/** A plan of one entry, whose inputs stay where they are, and with a constant that no kernel writes. */
async function planFor(profile: KernelProfile, { print }: KernelPrinter): Promise<DevicePlan> {
  const b = createBuilder();
  const x = b.input("x", [SIZE], "f32");
  const outputs = new Map([
    ["y", b.mul(b.exp(x), b.fill(2, [SIZE]))],
    ["sum", b.sum(b.mul(x, x), [0])],
  ]);
  const graph = { name: "entry", outputs, updates: new Map() };
  const { infos, kernels, entries, pools, constants } = schedule([graph], profile, new Map(), 0);
  // The last words of a pool are nobody's but the constant's.
  const at: TensorRef = { pool: "state", offset: pools.state, shape: [CONSTANT.length], dtype: "f32" };
  return {
    kernels: infos,
    code: await print(kernels),
    entries,
    pools: { ...pools, state: pools.state + 64 },
    constants: [...constants, { at, data: CONSTANT }],
  };
}

const isSame = (a: Words, b: readonly number[]): boolean =>
  a.length === b.length && b.every((value, i) => Object.is(a[i], value));

/** Whether a call is refused with a DeviceError, or with another error of mhc. */
async function refuses(call: () => unknown): Promise<boolean> {
  try {
    await call();
    return false;
  } catch (error) {
    return error instanceof MhcError;
  }
}

/** Loads a plan of one kernel or two, and looks at what the session does. */
export async function compareSession(
  device: Device,
  printer: KernelPrinter,
  profile: KernelProfile,
): Promise<SessionFinding> {
  const plan = await planFor(profile, printer);
  const session = await device.load(plan);
  let count = 0;
  const broken: string[] = [];
  const expect = (holds: boolean, words: string): void => {
    count++;
    if (!holds) broken.push(words);
  };
  await ofMemory(session, plan, expect);
  await ofRuns(session, plan, expect);
  await session.close();
  await ofTheEnd(session, plan, expect);
  return { count, broken };
}

type Expecting = (holds: boolean, words: string) => void;

async function ofMemory(session: Session, plan: DevicePlan, promised: Expecting): Promise<void> {
  const { constants, pools } = plan;
  const [own] = constants.slice(-1);
  for (const pool of POOLS) {
    const size = pools[pool] - (pool === "state" ? 64 : 0);
    if (size === 0 || constants.slice(0, -1).some(({ at }) => at.pool === pool)) continue;
    const all = await session.read({ pool, offset: 0, shape: [size], dtype: pool === "ints" ? "u32" : "f32" });
    promised(
      all.every((word) => word === 0),
      `the pool \`${pool}\` is not zero after \`load\``,
    );
  }
  if (own) promised(isSame(await session.read(own.at), CONSTANT), "`load` does not write the plan's constants");
  promised(session.bytes === bytesOf(plan), `\`bytes\` is ${session.bytes}: the pools have ${bytesOf(plan)}`);
  const { x } = mustValue(plan.entries, "entry").inputs;
  if (!x) return;
  session.write(x, new Float32Array(SIZE).fill(1));
  session.write(x, Float32Array.of(7, 8), 3);
  const wanted = Array.from({ length: SIZE }, (_, i) => (i === 3 ? 7 : i === 4 ? 8 : 1));
  const got = await session.read(x);
  promised(isSame(got, wanted), "`write(ref, data, 3)` does not write from word 3 on, and nothing else");
  got.fill(0);
  promised(isSame(await session.read(x), wanted), "`read` gives the memory itself, and no copy");
}

async function ofRuns(session: Session, { entries }: DevicePlan, promised: Expecting): Promise<void> {
  const { dispatches, outputs } = mustValue(entries, "entry");
  const refs = Object.values(outputs);
  const before = session.submits;
  const read = await session.run("entry", refs);
  promised(session.submits > before, "`submits` does not grow with a run");
  const alone = await Promise.all(refs.map((ref) => session.read(ref)));
  promised(
    read.every((words, i) => isSame(words, Array.from(alone[i] ?? []))),
    "`run` gives other numbers than `read` after it",
  );
  const times = await session.profile("entry");
  promised(
    times.length === dispatches.length && times.every((ms) => ms >= 0),
    `\`profile\` gives ${times.length} times of ${dispatches.length} dispatches, or one below 0`,
  );
  promised(await refuses(() => session.run("no such entry")), "`run` of an entry that there is not is no DeviceError");
}

async function ofTheEnd(session: Session, { entries }: DevicePlan, promised: Expecting): Promise<void> {
  const { inputs } = mustValue(entries, "entry");
  const ref = mustValue(inputs, "x");
  const calls: Readonly<Record<string, () => unknown>> = {
    run: () => session.run("entry"),
    profile: () => session.profile("entry"),
    read: () => session.read(ref),
    write: () => session.write(ref, Float32Array.of(1)),
  };
  for (const [name, call] of Object.entries(calls))
    promised(await refuses(call), `\`${name}\` of a session that is closed is no DeviceError`);
}
