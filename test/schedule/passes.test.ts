/** Each pass of the schedule on a small graph: what it is given, and what it makes of that, as text. */
import { describe, expect, it } from "vitest";
import { parseGraph, printGraph } from "../../src/graph/text.js";
import { printClusters } from "../../src/schedule/fusion/clusters.js";
import { legalize } from "../../src/schedule/fusion/legalize.js";
import { printRegions } from "../../src/schedule/fusion/regions.js";
import { printBatches } from "../../src/schedule/memory/batch.js";
import { printPlaces } from "../../src/schedule/memory/placement.js";
import { passes } from "../../src/schedule/passes.js";
import { printStages } from "../../src/schedule/stages.js";
import { DESCENT, passedOf } from "../helpers/passes.js";

const snapshot = (text: string) => expect(`\n${text}\n`);

/** A row norm, and two values that are made with it. */
const NORM = `graph run {
  %0: f32[80,8] = input {"name":"x"}
  %1: f32[80,8] = mul %0, %0
  %2: f32[80] = sum %1 {"axes":[1]}
  %3: f32[80] = sqrt %2
  %4: f32[80,8] = broadcast %3 {"axes":[0]}
  %5: f32[80,8] = div %0, %4
  %6: f32[8,80] = broadcast %5 {"axes":[1,0]}
  %7: f32[8] = sum %6 {"axes":[1]}
  output "y" = %5
  output "z" = %7
}`;

/** Two products of narrow weights, one after the other: both are local to a token. */
const TWO_PRODUCTS = `graph run {
  %0: f32[128,8] = input {"name":"x"}
  %1: f32[8,4] = parameter {"name":"down"}
  %2: f32[128,4] = contract %0, %1 {"spec":"tk,kn->tn"}
  %3: f32[128,4] = sin %2
  %4: f32[4,8] = parameter {"name":"up"}
  %5: f32[128,8] = contract %3, %4 {"spec":"tk,kn->tn"}
  output "y" = %5
}`;

/** A value that is cheap to make again stands between two kernels that read what it was made of. */
const CENTRED = `graph run {
  %0: f32[80,8] = input {"name":"x"}
  %1: f32[8] = parameter {"name":"gain"}
  %2: f32[80,8] = broadcast %1 {"axes":[1]}
  %3: f32[80,8] = mul %0, %2
  %4: f32[8,80] = broadcast %3 {"axes":[1,0]}
  %5: f32[8] = sum %4 {"axes":[1]}
  %6: f32[80] = sum %3 {"axes":[1]}
  output "columns" = %5
  output "rows" = %6
}`;

describe("legalize", () => {
  it("makes a dot product a sum of products", () => {
    const text = `graph run {
  %0: f32[9,14] = input {"name":"x"}
  %1: f32[9,14] = input {"name":"y"}
  %2: f32[9] = contract %0, %1 {"spec":"ak,ak->a"}
  output "z" = %2
}`;
    snapshot(printGraph(legalize(parseGraph(text)))).toMatchInlineSnapshot(`
      "
      graph run {
        %0: f32[9,14] = input {"name":"x"}
        %1: f32[9,14] = input {"name":"y"}
        %2: f32[9,14] = mul %0, %1
        %3: f32[9] = sum %2 {"axes":[1]}
        output "z" = %3
      }
      "
    `);
  });
});

describe("partition", () => {
  it("cuts a graph into clusters", () => {
    const { graph, clusters } = passedOf(NORM);
    snapshot(printGraph(graph)).toMatchInlineSnapshot(`
      "
      graph run {
        %0: f32[80,8] = input {"name":"x"}
        %1: f32[80,8] = mul %0, %0
        %2: f32[80] = sum %1 {"axes":[1]}
        %3: f32[80] = sqrt %2
        %4: f32[80,8] = broadcast %3 {"axes":[0]}
        %5: f32[80,8] = div %0, %4
        %6: f32[8,80] = broadcast %5 {"axes":[1,0]}
        %7: f32[8] = sum %6 {"axes":[1]}
        output "y" = %5
        output "z" = %7
      }
      "
    `);
    snapshot(printClusters(graph, clusters)).toMatchInlineSnapshot(`
      "
      clusters of run {
        cluster 0: map [80,8], sums over 1, reads %0, stores %5
          %2: f32[80] = sum %1 {"axes":[1]}
          %3: f32[80] = sqrt %2
          %5: f32[80,8] = div %0, %4
        cluster 1: map [8,80], sums over 1, reads %5, stores %7
          %7: f32[8] = sum %6 {"axes":[1]}
      }
      "
    `);
  });
});

describe("rematerialize", () => {
  it("leaves a cheap value to its readers", () => {
    const { graph, clusters, lean } = passedOf(CENTRED);
    snapshot(printClusters(graph, clusters)).toMatchInlineSnapshot(`
      "
      clusters of run {
        cluster 0: map [80,8], sums over 1, reads %0, %1, stores %3, %6
          %3: f32[80,8] = mul %0, %2
          %6: f32[80] = sum %3 {"axes":[1]}
        cluster 1: map [8,80], sums over 1, reads %3, stores %5
          %5: f32[8] = sum %4 {"axes":[1]}
      }
      "
    `);
    snapshot(printClusters(graph, lean)).toMatchInlineSnapshot(`
      "
      clusters of run {
        cluster 0: map [80,8], sums over 1, reads %0, %1, stores %6
          %3: f32[80,8] = mul %0, %2
          %6: f32[80] = sum %3 {"axes":[1]}
        cluster 1: map [8,80], sums over 1, reads %0, %1, stores %5
          %5: f32[8] = sum %4 {"axes":[1]}
      }
      "
    `);
  });
});

describe("arrange", () => {
  it("makes one region of two products that are local to a token", () => {
    const { graph, lean, regions } = passedOf(TWO_PRODUCTS);
    snapshot(printClusters(graph, lean)).toMatchInlineSnapshot(`
      "
      clusters of run {
        cluster 0: matmul [128,4], reads %0, %1, stores %3
          %2: f32[128,4] = contract %0, %1 {"spec":"tk,kn->tn"}
          %3: f32[128,4] = sin %2
        cluster 1: matmul [128,8], reads %3, %4, stores %5
          %5: f32[128,8] = contract %3, %4 {"spec":"tk,kn->tn"}
      }
      "
    `);
    snapshot(printRegions(graph, regions)).toMatchInlineSnapshot(`
      "
      regions of run {
        region 0 of [128] tokens, on the chip %3
          cluster 0: matmul [128,4], reads %0, %1, stores %3
          cluster 1: matmul [128,8], reads %3, %4, stores %5
      }
      "
    `);
  });
});

describe("fitOnChip", () => {
  const wide = TWO_PRODUCTS.replaceAll("[128,4]", "[128,2048]")
    .replace("[8,4]", "[8,2048]")
    .replace("[4,8]", "[2048,8]");

  it("keeps on a GPU's chip what has room there", () => {
    const { graph, regions, arrangement, stages } = passedOf(TWO_PRODUCTS, "webgpu");
    snapshot(printRegions(graph, regions)).toMatchInlineSnapshot(`
      "
      regions of run {
        region 0 of [128] tokens, on the chip %3
          cluster 0: matmul [128,4], reads %0, %1, stores %3
          cluster 1: matmul [128,8], reads %3, %4, stores %5
      }
      "
    `);
    expect(printRegions(graph, arrangement)).toBe(printRegions(graph, regions));
    snapshot(printStages(graph, stages())).toMatchInlineSnapshot(`
      "
      stages of run {
        region 0: 4 words of a token on the chip
          stage 0: product of cluster 0, makes %3
          stage 1: inner of cluster 1, makes %5
          %3 on the chip at 0, 4 words
      }
      "
    `);
  });

  it("sends to memory what has not", () => {
    const { graph, regions, arrangement, stages } = passedOf(wide, "webgpu");
    snapshot(printRegions(graph, regions)).toMatchInlineSnapshot(`
      "
      regions of run {
        region 0 of [128] tokens, on the chip %3
          cluster 0: matmul [128,2048], reads %0, %1, stores %3
          cluster 1: matmul [128,8], reads %3, %4, stores %5
      }
      "
    `);
    snapshot(printRegions(graph, arrangement)).toMatchInlineSnapshot(`
      "
      regions of run {
        region 0 of [128] tokens
          cluster 0: matmul [128,2048], reads %0, %1, stores %3
          cluster 1: matmul [128,8], reads %3, %4, stores %5
      }
      "
    `);
    snapshot(printStages(graph, stages())).toMatchInlineSnapshot(`
      "
      stages of run {
        region 0: 0 words of a token on the chip
          stage 0: inner of cluster 0, makes %3
          stage 1: product of cluster 1, makes %5
      }
      "
    `);
  });
});

describe("place", () => {
  it("stores a new value over the old one, and operands of a pack in its slots", () => {
    const { graph, arrangement, placement } = passedOf(DESCENT);
    snapshot(printRegions(graph, arrangement)).toMatchInlineSnapshot(`
      "
      regions of run {
        region 0, cluster 0: map [64], reads %0, stores %2
        region 1, cluster 1: map [3], reads %1, stores %3
        region 2, cluster 2: pack [128], reads %0, %1, stores %4
        region 3, cluster 3: pack [128], reads %2, %3, stores %5
        region 4, cluster 4: map [128], sums over 0, reads %5, %4, stores %6, %9
      }
      "
    `);
    snapshot(printPlaces(graph, placement)).toMatchInlineSnapshot(`
      "
      places of run {
        %0 parameter a: state at 0, 64 words
        %1 parameter b: state at 64, 3 words
        %4 pack: state at 0, 128 words, the state as it lies
        %6 sum: out range 0, 1 words
        %9 sub: state at 0, 128 words
        %5 pack: work range 1, 128 words
        %2 sin: work range 1 from 0, 64 words
        %3 sin: work range 1 from 64, 3 words
        clear work range 1 from 67, 61 words before cluster 3
      }
      "
    `);
  });

  it("copies a new value in the end when somebody else still reads the old one", () => {
    const { graph, placement } = passedOf(`graph run {
  %0: f32[4,4] = parameter {"name":"a"}
  %1: f32[4,4] = broadcast %0 {"axes":[1,0]}
  output "old" = %0
  update %0 = %1
}`);
    snapshot(printPlaces(graph, placement)).toMatchInlineSnapshot(`
      "
      places of run {
        %0 parameter a: state at 0, 16 words
        %1 broadcast: work range 0, 16 words
        old value of %0: out range 1, 16 words
        copy %1 from 0 to %0 in the end
      }
      "
    `);
  });
});

describe("batch", () => {
  it("runs equal kernels that wait for nothing as one dispatch", () => {
    const { graph, arrangement, batches } = passedOf(`graph run {
  %0: f32[96,80] = input {"name":"x"}
  %1: f32[80,72] = parameter {"name":"v"}
  %2: f32[80,72] = parameter {"name":"w"}
  %3: f32[96,72] = contract %0, %1 {"spec":"rk,kc->rc"}
  %4: f32[96,72] = contract %0, %2 {"spec":"rk,kc->rc"}
  %5: f32[96,72] = mul %3, %4
  %6: f32[72] = sum %5 {"axes":[0]}
  output "y" = %6
}`);
    snapshot(printRegions(graph, arrangement)).toMatchInlineSnapshot(`
      "
      regions of run {
        region 0, cluster 0: matmul [96,72], reads %0, %1, stores %3
        region 1, cluster 1: matmul [96,72], reads %0, %2, stores %4
        region 2, cluster 2: map [96,72], sums over 0, reads %3, %4, stores %6
      }
      "
    `);
    snapshot(printBatches(graph, batches)).toMatchInlineSnapshot(`
      "
      dispatches of run {
        dispatch 0: matmul x 2, makes %3; %4
        dispatch 1: row, makes %6
      }
      "
    `);
  });
});

describe("offsets", () => {
  it("give the words of what is no longer needed to what comes later", () => {
    const { graph, placement, planned } = passedOf(`graph run {
  %0: f32[70,70] = input {"name":"x"}
  %1: f32[70,70] = contract %0, %0 {"spec":"ik,kj->ij"}
  %2: f32[70,70] = contract %1, %1 {"spec":"ik,kj->ij"}
  %3: f32[70,70] = contract %2, %2 {"spec":"ik,kj->ij"}
  output "y" = %3
}`);
    snapshot(printPlaces(graph, placement)).toMatchInlineSnapshot(`
      "
      places of run {
        %0 input x: work range 0, 4900 words
        %3 contract: out range 1, 4900 words
        %1 contract: work range 2, 4900 words
        %2 contract: work range 3, 4900 words
      }
      "
    `);
    snapshot(printPlaces(graph, placement, planned.offsets)).toMatchInlineSnapshot(`
      "
      places of run {
        %0 input x: work at 0, 4900 words
        %3 contract: out at 0, 4900 words
        %1 contract: work at 4928, 4900 words
        %2 contract: work at 0, 4900 words
      }
      "
    `);
  });

  it("without lifetimes every range has words of its own", () => {
    const { placement, runs } = passedOf(NORM);
    const inWork = [...new Set(placement.places.values())].filter(({ pool }) => pool === "work");
    const { words } = passes.offsets({
      runs,
      ranges: [...placement.places.values()],
      fed: new Set(),
      kept: new Set(),
      streams: new Set(),
      reuse: false,
    });
    expect(words.work).toBe(inWork.reduce((sum, place) => sum + Math.ceil(place.words / 64) * 64, 0));
  });
});
