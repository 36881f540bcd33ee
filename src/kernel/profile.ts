/** What the skeletons of kernels need to know of a device: data, not code, which cost and tuning read too. */

import type { Lanes } from "./ir.js";

/** One member of a skeleton's family: its knobs by name. */
export type Choice = Readonly<Record<string, number>>;

/** What a device is, as far as its kernels depend on it. */
export interface KernelProfile {
  readonly kind: "cpu" | "gpu";
  /** Lanes of the widest vectors that the printer can print; narrower ones may be asked for too. */
  readonly lanes: Lanes;
  /**
   * Vectors that its registers hold, where a compiler for the processor itself keeps them there: products are then cut
   * along k, fetched ahead and so on. Where it does not say, kernels are such as WebAssembly wants them.
   */
  readonly registers?: number;
  /** Threads that share a kernel's groups, where it is known: no bit of a result depends on it. */
  readonly threads?: number;
  /** Invocations in a workgroup; 1 on a CPU. */
  readonly workgroup: number;
  /** Whether the pool `half` may be used: memory of 16-bit floats. */
  readonly half?: boolean;
  /** Whether products of bf16 can be asked for (`tiles` of the kernel IR). */
  readonly bf16?: boolean;
  /** What operands of products are rounded to, where the page asks for it. */
  readonly products?: "bf16";
  /** Choices that override a skeleton's default, by `skeleton` or `skeleton/shape` (src/schedule/emit/choices.ts). */
  readonly choices?: Readonly<Record<string, Choice>>;
}

/** The skeleton of products of bf16, as choices and plans name it. */
export const BF16 = "bf16";

/** Whether there are products of bf16 among kernels. */
export const hasBf16 = (kernels: readonly { readonly tuned: string | null }[]): boolean =>
  kernels.some(({ tuned }) => tuned?.startsWith(`${BF16}/`));
