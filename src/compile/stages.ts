/** What a compilation went through, each as text that is made when it is asked for. */
import { mustAt } from "../../runtime/lookup.js";
import { copiesOf, wordBytes, type Dispatch, type KernelInfo, type PoolName } from "../../runtime/plan.js";
import { valueAt } from "../../runtime/records.js";
import { printGraph } from "../graph/text.js";
import { printKernel } from "../kernel/text.js";
import { printModel } from "../model/print.js";
import type { TypedModel } from "../model/typed.js";
import { printClusters } from "../schedule/fusion/clusters.js";
import { printRegions } from "../schedule/fusion/regions.js";
import { printPlaces } from "../schedule/memory/placement.js";
import type { Passed } from "../schedule/passes.js";
import type { Scheduled } from "../schedule/plan.js";
import { printStages } from "../schedule/stages.js";
import type { Fitted } from "./fit.js";

/** The stages of a compilation as text, by the name that `mhc compile --emit` knows them by. */
export interface Stages {
  /** The typed model (`src/model/print.ts`). */
  readonly model: () => string;
  /** The graph of every entry, after recompute (`src/graph/text.ts`). */
  readonly graph: () => string;
  /** The graphs as the schedule takes them: what the numbers of clusters, regions, stages and places are of. */
  readonly legal: () => string;
  /** Of every device and entry: which nodes are one kernel. */
  readonly clusters: () => string;
  /** Which clusters go token by token in one kernel. */
  readonly regions: () => string;
  /** How a tile of tokens goes through the clusters of each region. */
  readonly stages: () => string;
  /** Where every stored tensor lies. */
  readonly places: () => string;
  /** The kernels of every device (`src/kernel/text.ts`). */
  readonly kernels: () => string;
  /** Pools, dispatches and their buffers, of every device. */
  readonly plan: () => string;
}

/** The schedule of one device, by the device's name. */
export type NamedSchedule = readonly [name: string, schedule: Scheduled];

/** The stages of a model that was planned for some devices. */
export function stagesOf(model: TypedModel, fitted: Fitted, schedules: readonly NamedSchedule[]): Stages {
  const ofEach = (print: (scheduled: Scheduled) => string): string =>
    schedules.map(([name, scheduled]) => `// ${name}\n${print(scheduled)}`).join("\n\n");
  const ofEntries =
    (print: (passed: Passed) => string) =>
    ({ passed }: Scheduled): string =>
      Array.from(passed.values(), print).join("\n\n");
  return {
    model: () => printModel(model),
    graph: () => fitted.graphs.map(printGraph).join("\n\n"),
    legal: () => ofEach(ofEntries(({ graph }) => printGraph(graph))),
    clusters: () => ofEach(ofEntries(({ graph, lean }) => printClusters(graph, lean))),
    regions: () => ofEach(ofEntries(({ graph, arrangement }) => printRegions(graph, arrangement))),
    stages: () => ofEach(ofEntries(({ graph, stages }) => printStages(graph, stages()))),
    places: () => ofEach(ofEntries(({ graph, placement, planned }) => printPlaces(graph, placement, planned.offsets))),
    kernels: () => ofEach(({ kernels }) => kernels.map(printKernel).join("\n\n")),
    plan: () => ofEach((scheduled) => printPlan(scheduled, fitted)),
  };
}

function printPlan({ entries, infos, pools, peaks }: Scheduled, { recompute }: Fitted): string {
  const bytes = (Object.keys(wordBytes) as PoolName[])
    .map((name) => `${name} ${wordBytes[name] * pools[name]} bytes`)
    .join(", ");
  const tables = Object.entries(entries).map(([name, { dispatches }]) =>
    [
      `entry ${name}: ${dispatches.length} dispatches, ${memoryOf(valueAt(peaks, name) ?? { work: 0, streams: 0 })}`,
      ...dispatches.map((dispatch) => {
        const info = mustAt(infos, dispatch.kernel);
        return `  ${info.name} (${groupsOf(dispatch, info)} groups) at ${dispatch.offsets.join(", ")}`;
      }),
    ].join("\n"),
  );
  return [`pools: ${bytes}`, `recompute: ${recompute}`, `kernels: ${infos.length}`, ...tables].join("\n");
}

const groupsOf = (dispatch: Dispatch, info: KernelInfo): string =>
  copiesOf(dispatch, info) > 1 ? `${copiesOf(dispatch, info)} x ${info.groups}` : `${info.groups}`;

const memoryOf = ({ work, streams }: Scheduled["peaks"][string]): string =>
  `work ${work} bytes${streams ? `, activations of the streams ${streams} bytes at their peak` : ""}`;
