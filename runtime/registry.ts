/**
 * The registry of the devices that come with mhc: one record each, of all that is data. What opens a device is in
 * `open.ts` and what prints its kernels in `codegen/registry.ts`, since neither may import the other; both are tables
 * by the names that stand here, and a name that they lack does not compile. A device of a user's own is in no table: it
 * is a module that has its printer and its way to be opened (`DeviceTarget` of `codegen/target.ts`), and is handed on
 * as that value.
 */

/** When `auto` asks for a device. */
export interface AutoPlace {
  /** Lower ones are asked first. */
  readonly rank: number;
  /** Whether it is taken there only if it is hardware, and no CPU that emulates it. */
  readonly hardware: boolean;
}

/** A device that comes with mhc. */
export interface DeviceRecord {
  /** Whose kernels it runs. */
  readonly kind: "cpu" | "gpu";
  /** What `mhc compile --target` calls its code. */
  readonly target: string;
  /** Where it comes in the order of `auto`; more than once where hardware goes before its emulation. */
  readonly auto: readonly AutoPlace[];
  /** Bytes that it can address, whatever the machine has. */
  readonly addressable: number;
}

const ALL = Number.POSITIVE_INFINITY;
const always = (rank: number): AutoPlace => ({ rank, hardware: false });

/** A device that comes with mhc. */
export type BuiltInDevice = "native" | "wasm" | "webgpu" | "javascript";

/** By name. A GPU that is emulated is slower than the CPU that it runs on, and comes last. */
export const registry: Readonly<Record<BuiltInDevice, DeviceRecord>> = {
  native: { kind: "cpu", target: "native", auto: [always(2)], addressable: ALL },
  wasm: { kind: "cpu", target: "wasm", auto: [always(3)], addressable: 2 ** 32 },
  webgpu: {
    kind: "gpu",
    target: "wgsl",
    auto: [{ rank: 1, hardware: true }, always(5)],
    addressable: ALL,
  },
  javascript: { kind: "cpu", target: "javascript", auto: [always(4)], addressable: ALL },
};

/**
 * The name of a device: one that comes with mhc, or what a device of a user's own is called. (The empty intersection
 * keeps an editor offering the names that are known.)
 */
export type DeviceName = BuiltInDevice | (string & Record<never, never>);

/** The devices that come with mhc. */
export const deviceNames = Object.keys(registry) as readonly BuiltInDevice[];

/** Whether a device comes with mhc. */
export const isBuiltIn = (name: unknown): name is BuiltInDevice => deviceNames.some((known) => known === name);

/** The devices in the order in which `auto` asks for them. */
export const autoOrder: readonly (AutoPlace & { readonly name: BuiltInDevice })[] = deviceNames
  .flatMap((name) => registry[name].auto.map((place) => ({ ...place, name })))
  .sort((a, b) => a.rank - b.rank);
