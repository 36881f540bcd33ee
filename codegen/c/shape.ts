/** What the parts of a model in C are made from. */
import type { DevicePlan, Entry, Plan, TensorRef } from "../../runtime/plan.js";

/** An entry as a function of C. */
export interface EntryFunction {
  readonly id: string;
  /** Its name behind the model's: `train`. */
  readonly name: string;
  readonly entry: Entry;
  /** What the caller gives: ids, and names of C. */
  readonly inputs: readonly { readonly id: string; readonly name: string; readonly at: TensorRef }[];
  /** What it leaves: ids, and names of C. */
  readonly outputs: readonly { readonly id: string; readonly name: string; readonly at: TensorRef }[];
}

/** What all parts of the files are made from. */
export interface CModel {
  readonly plan: Plan;
  readonly device: DevicePlan;
  /** The name of the type, and what the names of all functions begin with. */
  readonly name: string;
  /** The same for macros. */
  readonly macro: string;
  readonly stem: string;
  readonly entries: readonly EntryFunction[];
  /** Numbers of parameters and of states, in the order in which they are saved. */
  readonly saved: readonly { readonly offset: number; readonly size: number }[];
}
