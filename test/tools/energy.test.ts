/**
 * Meters of energy, on made-up counters: what they add up, that they wrap, what is said when they cannot be read, and
 * that a figure says what it is.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { energyOf, openMeter, type Meter } from "../../src/tools/energy.js";

const cpu = { kind: "cpu", adapter: "WebAssembly SIMD" } as const;

function counters(zones: Readonly<Record<string, number>>): {
  readonly powercap: string;
  readonly set: (zone: string, microjoules: number) => void;
} {
  const powercap = mkdtempSync(join(tmpdir(), "powercap-"));
  const set = (zone: string, microjoules: number): void =>
    writeFileSync(join(powercap, zone, "energy_uj"), `${microjoules}\n`);
  for (const [zone, start] of Object.entries(zones)) {
    mkdirSync(join(powercap, zone));
    writeFileSync(join(powercap, zone, "max_energy_range_uj"), "1000000\n");
    set(zone, start);
  }
  return { powercap, set };
}

describe("RAPL", () => {
  it("adds up packages, not the zones within them, and counts on when a counter wraps", () => {
    const { powercap, set } = counters({ "intel-rapl:0": 900_000, "intel-rapl:1": 0, "intel-rapl:0:0": 5 });
    const meter = openMeter(cpu, { powercap }) as Meter;
    expect(meter.by).toBe("RAPL, 2 packages, with all else that runs there");
    set("intel-rapl:0", 950_000);
    set("intel-rapl:1", 250_000);
    set("intel-rapl:0:0", 999_999);
    expect(meter.read()).toBeCloseTo(0.3, 9);
    set("intel-rapl:0", 100_000);
    expect(meter.read()).toBeCloseTo(0.45, 9);
    meter.close();
  });

  it("says why there is no meter", () => {
    expect(openMeter(cpu, { powercap: "/nowhere" })).toEqual({ none: "the system has no RAPL counters" });
    expect(openMeter(cpu, { powercap: mkdtempSync(join(tmpdir(), "powercap-")) })).toEqual({
      none: "the system has no RAPL counters",
    });
    const { powercap, set } = counters({ "intel-rapl:0": 1 });
    set("intel-rapl:0", Number.NaN);
    expect(openMeter(cpu, { powercap })).toEqual({ none: "the RAPL counters are no numbers" });
    expect(openMeter({ kind: "gpu", adapter: "apple, m2" })).toEqual({ none: "no meter is known for apple, m2" });
  });

  it("that may not be read says what lets it be", () => {
    const { powercap } = counters({ "intel-rapl:0": 1 });
    // What cannot be read whoever asks: the superuser may read every file.
    rmSync(join(powercap, "intel-rapl:0", "energy_uj"));
    mkdirSync(join(powercap, "intel-rapl:0", "energy_uj"));
    expect(openMeter(cpu, { powercap })).toEqual({
      none: expect.stringMatching(/cannot be read \(EISDIR\).*sudo chmod a\+r/) as string,
    });
  });
});

describe("nvidia-smi", () => {
  it("integrates the power that the tool prints", async () => {
    const smi = join(mkdtempSync(join(tmpdir(), "smi-")), "smi");
    writeFileSync(smi, "#!/bin/sh\nfor i in 1 2 3 4 5 6; do echo 200.0; sleep 0.1; done\nsleep 5\n", { mode: 0o755 });
    const meter = openMeter({ kind: "gpu", adapter: "NVIDIA GeForce RTX 4090" }, { smi }) as Meter;
    expect(meter.by).toContain("nvidia-smi");
    for (let i = 0; i < 50 && meter.read() < 80; i++) await new Promise((done) => setTimeout(done, 50));
    // Five tenths of a second at 200 W, with what the shell takes between.
    expect(meter.read()).toBeGreaterThan(60);
    expect(meter.read()).toBeLessThan(400);
    meter.close();
  });

  it("that is not there measures nothing", async () => {
    const meter = openMeter({ kind: "gpu", adapter: "NVIDIA" }, { smi: "/nowhere/smi" }) as Meter;
    await new Promise((done) => setTimeout(done, 50));
    expect(energyOf(meter, meter.read(), null)).toBeNull();
    expect(energyOf(meter, meter.read(), { joules: 3, profile: "rtx" })).toEqual({
      joules: 3,
      by: "modelled: profile rtx",
    });
    meter.close();
  });
});

it("a figure says whether it was measured", () => {
  const { powercap, set } = counters({ "intel-rapl:0": 0 });
  const meter = openMeter(cpu, { powercap }) as Meter;
  set("intel-rapl:0", 500_000);
  expect(energyOf(meter, meter.read(), { joules: 9, profile: "cpu" })).toEqual({
    joules: 0.5,
    by: `measured: ${meter.by}`,
  });
  expect(energyOf({ none: "nothing" }, 0, { joules: 9, profile: "cpu" })).toEqual({
    joules: 9,
    by: "modelled: profile cpu",
  });
  meter.close();
});
