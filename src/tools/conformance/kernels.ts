/**
 * Kernels of a CPU one by one: each runs on the device and, as scalars, on `javascript`, from the same memory, and
 * leaves the same there. So a kernel that is wrong is found by itself, whatever comes before and after it. The
 * reference goes through all dispatches of an entry; the device runs every kernel once, with each number of copies. It
 * does so in few runs, since a device may compile an entry at a time: its pools hold the memory of many dispatches, one
 * behind the other, and the offsets of each are moved to its own.
 */
import { javascript } from "../../../codegen/javascript/printer.js";
import type { Device, Session, Words } from "../../../runtime/device.js";
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import {
  copiesOf,
  type DevicePlan,
  type Dispatch,
  type Entry,
  type HostPool,
  type KernelInfo,
  type PoolName,
  type TensorRef,
} from "../../../runtime/plan.js";
import { recordOf } from "../../../runtime/records.js";
import type { Kernel } from "../../kernel/ir.js";
import { narrowed } from "../../kernel/narrow.js";
import { differenceAfter, SAME, type Difference, type PoolImages } from "./compare.js";

/** Kernels to compare: what was compiled for a device, and how its memory begins. */
export interface Subject {
  readonly plan: DevicePlan;
  /** What the plan's code was printed from. */
  readonly kernels: readonly Kernel[];
  /** Writes what is there before the first entry. */
  readonly start: (session: Session) => void;
  /** Writes the inputs of an entry. */
  readonly feed: (session: Session, entry: string) => void;
}

/** What came of one kernel. */
export interface KernelFinding {
  readonly kernel: string;
  readonly entry: string;
  readonly difference: Difference;
  readonly pool: HostPool;
}

/** One dispatch of an entry. */
interface KernelTrial {
  readonly entry: string;
  /** What the plan of the comparison calls it. */
  readonly name: string;
  readonly dispatch: Dispatch;
  readonly info: KernelInfo;
  /** Whether the device runs it, and not the reference alone. */
  readonly compared: boolean;
}

function trialsOf({ entries, kernels }: DevicePlan): readonly KernelTrial[] {
  const seen = new Set<string>();
  return Object.entries(entries).flatMap(([entry, { dispatches }]) =>
    dispatches.map((dispatch, i): KernelTrial => {
      const info = mustAt(kernels, dispatch.kernel);
      const key = `${dispatch.kernel}, ${copiesOf(dispatch, info)}`;
      const compared = !seen.has(key);
      seen.add(key);
      return { entry, name: `${entry}:${i}`, dispatch, info, compared };
    }),
  );
}

const isHost = (pool: PoolName): pool is HostPool => pool !== "half";

/** The words of all pools that dispatches of one run may have together. */
const MOST_WORDS = 1 << 24;

/** The pools of a plan in words, so that one behind the other begins where a buffer may. */
type PoolWords = Readonly<Record<HostPool, number>>;
const POOLS = ["state", "work", "ints", "out"] as const satisfies readonly HostPool[];
const STEP = 64;

const poolWords = ({ pools }: DevicePlan): PoolWords =>
  recordOf(POOLS.map((pool) => [pool, STEP * Math.ceil(pools[pool] / STEP)])) as PoolWords;

/** Words of a pool, in the memory that is number `place` among those of a run. */
const imageRef = (words: PoolWords, pool: HostPool, place: number): TensorRef => ({
  pool,
  offset: place * words[pool],
  shape: [words[pool]],
  dtype: pool === "ints" ? "u32" : "f32",
});

/** A dispatch on the memory of its place. */
const moved = ({ dispatch, info }: KernelTrial, words: PoolWords, place: number): Dispatch => ({
  kernel: dispatch.kernel,
  offsets: dispatch.offsets.map((offset, slot) => offset + place * words[poolAt(info, slot)]),
});

function poolAt({ name, buffers }: KernelInfo, slot: number): HostPool {
  const { pool } = mustAt(buffers, slot % buffers.length);
  if (isHost(pool)) return pool;
  throw new Error(`bug: the kernel ${name} of a CPU has half precision`);
}

/** Compares all kernels of a plan, in the order in which they first run; `reference` is the device `javascript`. */
export async function compareKernels(
  device: Device,
  reference: Device,
  subject: Subject,
  tolerance: number,
): Promise<KernelFinding[]> {
  const { plan } = subject;
  const words = poolWords(plan);
  const trials = trialsOf(plan);
  const compared = trials.filter((trial) => trial.compared);
  const most = Math.max(1, Math.floor(MOST_WORDS / POOLS.reduce((sum, pool) => sum + words[pool], STEP)));
  const batches = Array.from({ length: Math.ceil(compared.length / most) }, (_, i) =>
    compared.slice(i * most, (i + 1) * most),
  );
  const images = await imagesOf(reference, trials, words, subject);
  const pools = recordOf(POOLS.map((pool) => [pool, words[pool] * Math.min(most, compared.length)])) as PoolWords;
  const entries = recordOf(batches.map((batch, i): [string, Entry] => [`kernels ${i}`, entryFor(batch, words)]));
  const session = await device.load({ ...plan, pools: { ...pools, half: 0 }, entries });
  try {
    const findings: KernelFinding[] = [];
    for (const [i, batch] of batches.entries()) {
      const found = await runTogether(session, `kernels ${i}`, batch, images, words);
      findings.push(...batch.map((trial, place) => findingOf(trial, mustAt(found, place), images, tolerance)));
    }
    return findings;
  } finally {
    await session.close();
  }
}

const entryFor = (batch: readonly KernelTrial[], words: PoolWords): Entry => ({
  dispatches: batch.map((trial, place) => moved(trial, words, place)),
  inputs: {},
  outputs: {},
});

const oneByOne = (trials: readonly KernelTrial[]): Readonly<Record<string, Entry>> =>
  recordOf(
    trials.map(({ name, dispatch }): [string, Entry] => [name, { dispatches: [dispatch], inputs: {}, outputs: {} }]),
  );

/** The pools that a kernel is on, before and after it ran on the reference. */
type Image = Omit<PoolImages, "found"> & { readonly pool: HostPool };
type Images = ReadonlyMap<KernelTrial, readonly Image[]>;

/** Runs all dispatches on the reference, in their order, and keeps the memory around those that are compared. */
async function imagesOf(
  reference: Device,
  trials: readonly KernelTrial[],
  words: PoolWords,
  { plan, kernels, start, feed }: Subject,
): Promise<Images> {
  const load = async (rounded: boolean): Promise<Session> =>
    reference.load({
      ...plan,
      pools: { ...words, half: 0 },
      entries: oneByOne(trials),
      code: await javascript.print(kernels.map((kernel) => narrowed(kernel, { lanes: 1, rounded }))),
    });
  const [exact, rough] = [await load(false), await load(true)];
  const images = new Map<KernelTrial, readonly Image[]>();
  start(exact);
  for (const [i, trial] of trials.entries()) {
    if (trials[i - 1]?.entry !== trial.entry) feed(exact, trial.entry);
    const pools = trial.compared ? [...new Set(trial.info.buffers.map((_, slot) => poolAt(trial.info, slot)))] : [];
    const refs = pools.map((pool) => imageRef(words, pool, 0));
    const before = await Promise.all(refs.map((ref) => exact.read(ref)));
    const expected = await exact.run(trial.name, refs);
    if (!trial.compared) continue;
    for (const [at, ref] of refs.entries()) rough.write(ref, mustAt(before, at));
    const rounded = await rough.run(trial.name, refs);
    images.set(
      trial,
      pools.map((pool, at) => ({
        pool,
        before: mustAt(before, at),
        expected: mustAt(expected, at),
        rounded: mustAt(rounded, at),
      })),
    );
  }
  await Promise.all([exact.close(), rough.close()]);
  return images;
}

/** Runs dispatches on the device, each on memory of its own, and reads what each leaves there, pool by pool. */
async function runTogether(
  session: Session,
  entry: string,
  batch: readonly KernelTrial[],
  images: Images,
  words: PoolWords,
): Promise<readonly (readonly Words[])[]> {
  for (const [place, trial] of batch.entries())
    for (const { pool, before } of mustGet(images, trial)) session.write(imageRef(words, pool, place), before);
  await session.run(entry);
  const found: (readonly Words[])[] = [];
  for (const [place, trial] of batch.entries())
    found.push(await Promise.all(mustGet(images, trial).map(({ pool }) => session.read(imageRef(words, pool, place)))));
  return found;
}

/** How much a dispatch left differs from what it should have left. */
function findingOf(trial: KernelTrial, found: readonly Words[], images: Images, tolerance: number): KernelFinding {
  const own = mustGet(images, trial);
  let worst: Pick<KernelFinding, "difference" | "pool"> = { difference: SAME, pool: own[0]?.pool ?? "work" };
  for (const [i, { pool, ...image }] of own.entries()) {
    const difference = differenceAfter({ ...image, found: mustAt(found, i) }, writtenIn(pool, trial), tolerance);
    if (difference.share > worst.difference.share) worst = { difference, pool };
  }
  return { kernel: trial.info.name, entry: trial.entry, ...worst };
}

/** Where the buffers of a dispatch begin that are written to, in one pool. */
const writtenIn = (pool: HostPool, { info: { buffers }, dispatch }: KernelTrial): readonly number[] =>
  dispatch.offsets.filter((_, slot) => {
    const buffer = mustAt(buffers, slot % buffers.length);
    return buffer.pool === pool && buffer.access !== "read";
  });
