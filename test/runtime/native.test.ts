/**
 * What the native device alone has: a compiler of the machine, which may be missing or fail, a cache of what it made,
 * which may be refused or damaged, and threads of its own. What all devices do is in `devices.test.ts`. The compiler is
 * looked for once in a process, so that other compilers are met in processes of their own.
 */
import { execFile } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Session } from "../../runtime/device.js";
import { DeviceError } from "../../runtime/errors.js";
import { openDevice } from "../../runtime/index.js";
import { builtCommand } from "../helpers/command.js";
import { hasCompiler } from "../helpers/devices.js";
import { planOf } from "../helpers/specs.js";
import { folded, handMade, refs, SIZE } from "./plans.js";

const folder = mkdtempSync(join(tmpdir(), "mhc-native-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PAGE = `model Little {
  dim n = 3
  input u[n]
  output y[n] = tanh(2 * u[n])
}`;
const Y = [1, -2, 3].map((u) => Math.tanh(2 * u));

/** What a process says of a model that it loads on a device and runs once. */
interface Answer {
  readonly device?: string;
  readonly notes?: readonly string[];
  readonly y?: readonly number[];
  /** What lies in the folder for temporary files while it runs. */
  readonly temporary?: readonly string[];
  readonly error?: { readonly name: string; readonly message: string; readonly fix: string | null };
}

const CHILD = `import { readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
const [, , runtime, plan, device] = process.argv;
const { load } = await import(runtime);
try {
  const model = await load(JSON.parse(readFileSync(plan, "utf8")), { device, threads: 1 });
  const { y } = await model.forward({ u: Float32Array.of(1, -2, 3) });
  const { name, notes } = model.device;
  console.log(JSON.stringify({ device: name, notes, y: [...y], temporary: readdirSync(tmpdir()) }));
  await model.close();
} catch ({ name, message, fix }) {
  console.log(JSON.stringify({ error: { name, message, fix } }));
}
`;

let runtime: string;
let planFile: string;
beforeAll(async () => {
  runtime = join(builtCommand(), "runtime/index.js");
  planFile = join(folder, "plan.json");
  writeFileSync(join(folder, "child.mjs"), CHILD);
  writeFileSync(planFile, JSON.stringify(await planOf(PAGE, ["native", "wasm"])));
});

/** Runs the page in a process of its own. */
const inProcess = (
  device: "native" | "auto",
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [...flags, join(folder, "child.mjs"), runtime, planFile, device],
      // No GPU is found: what its driver says is not asked.
      { env: { ...process.env, VK_DRIVER_FILES: "none", VK_ICD_FILENAMES: "none", ...env }, timeout: 60_000 },
      (error, out, said) => (error ? reject(new Error(said)) : resolve(JSON.parse(out) as Answer)),
    );
  });

/** A command that is a script of the shell. */
function script(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** An empty folder. */
function empty(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

/** A folder that nobody can make, root included: it would lie in a file. */
const nowhere = (): string => join(planFile, "folder");

/** All files in a folder and those within. */
const filesIn = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const close = (y: readonly number[] | undefined): void => {
  expect(y).toHaveLength(3);
  y!.forEach((value, i) => expect(value).toBeCloseTo(Y[i]!, 6));
};

describe("a machine without a compiler", () => {
  const CC = "/nonexistent/cc --fast";

  it("is a DeviceError that names CC and what it names", async () => {
    const { error } = await inProcess("native", { CC });
    expect(error).toEqual({
      name: "DeviceError",
      message: expect.stringMatching(
        /^no C compiler works here \(\/nonexistent\/cc --fast: there is no program \/nonexistent\/cc\)$/,
      ) as string,
      fix: "let CC name GCC or Clang, or let the device `auto` choose another",
    });
  });

  it("and without CC is told what was tried", async () => {
    const { error } = await inProcess("native", { CC: "", PATH: "/nonexistent" });
    expect(error?.message).toMatch(/^no C compiler works here \(cc: .*; gcc: .*; clang: .*\)$/);
    expect(error?.fix).toMatch(/^install GCC or Clang, or let CC name one/);
  });

  it("has another device, by `auto`, which says why", async () => {
    const { device, notes, y } = await inProcess("auto", { CC });
    expect(device).toBe("wasm");
    expect(notes).toContainEqual(expect.stringMatching(/^wasm, not native: no C compiler works here \(\/nonexistent/));
    close(y);
  });

  it("is one whose compiler says nothing of vectors", async () => {
    const other = script("other", `case "$*" in *--version*) echo other 1.0;; *) echo "#define __OTHER__ 1";; esac`);
    const { error } = await inProcess("native", { CC: other });
    expect(error?.message).toContain(`${other}: it lacks the vector extensions of GCC and Clang`);
  });
});

describe.skipIf(!hasCompiler)("a compiler", () => {
  const CC = process.env["CC"]?.trim() || "cc";

  it("that refuses a kernel is a DeviceError that names the kernel and the reason, and `auto` goes on", async () => {
    const failing = script(
      "failing",
      `for word in "$@"; do if [ "$word" = -c ]; then echo "error: no" >&2; exit 1; fi; done\nexec ${CC} "$@"`,
    );
    const env = { CC: failing, MHC_CACHE: empty("refused") };
    const { error } = await inProcess("native", env);
    expect(error?.name).toBe("DeviceError");
    expect(error?.message).toMatch(/^the C compiler \(.+\) refused .+: error: no$/);
    expect(error?.fix).toMatch(/^let CC name another compiler/);
    expect(filesIn(join(folder, "refused"))).toEqual([]);
    const { device, notes, y } = await inProcess("auto", env);
    expect(device).toBe("wasm");
    expect(notes).toContainEqual(expect.stringMatching(/^wasm, not native: the C compiler .+: error: no$/));
    close(y);
  });

  it("that is interrupted is not called unfit", async () => {
    const ended = script(
      "ended",
      `for word in "$@"; do if [ "$word" = -c ]; then kill -INT $$; fi; done\nexec ${CC} "$@"`,
    );
    const { error } = await inProcess("native", { CC: ended, MHC_CACHE: empty("ended-cache") });
    expect(error?.message).toMatch(/^the C compiler was ended by SIGINT while it compiled .+/);
    expect(error?.fix).toMatch(/^give the command again/);
  });

  it("that makes what cannot be loaded here is known when the device is opened, and `auto` goes on", async () => {
    const foreign = script(
      "foreign",
      `last=; for word in "$@"; do if [ "$last" = -o ]; then out="$word"; fi; last="$word"; done
case " $* " in *" -shared "*) echo of another machine > "$out";; *) exec ${CC} "$@";; esac`,
    );
    const env = { CC: foreign, MHC_CACHE: empty("foreign-cache") };
    const { error } = await inProcess("native", env);
    expect(error?.message).toMatch(/^the compiled kernels cannot be loaded: /);
    const { device, y } = await inProcess("auto", env);
    expect(device).toBe("wasm");
    close(y);
  });

  it("may have arguments, and is run for what is not in the cache alone", async () => {
    const log = join(folder, "log");
    const logging = script("logging", `echo "$*" >> '${log}'\nexec ${CC} "$@"`);
    const env = { CC: `${logging} -DANYTHING=1`, MHC_CACHE: empty("kept") };
    const asked = (): readonly string[] => {
      const lines = readFileSync(log, "utf8").trim().split("\n");
      rmSync(log);
      return lines;
    };
    const { device, y } = await inProcess("native", env);
    expect(device).toBe("native");
    close(y);
    const first = asked();
    expect(first.every((line) => line.split(" ").includes("-DANYTHING=1"))).toBe(true);
    expect(first.filter((line) => line.includes(" -c ")).length).toBeGreaterThan(1);
    expect(first.some((line) => line.split(" ").includes("-shared"))).toBe(true);
    close((await inProcess("native", env)).y);
    expect(asked().filter((line) => /(^| )-(c|shared) /.test(line))).toEqual([]);
    // What its flags make is kept apart.
    close((await inProcess("native", { ...env, CC: `${logging} -DANYTHING=2` })).y);
    expect(asked().filter((line) => line.includes(" -c ")).length).toBeGreaterThan(1);
  });
});

it.skipIf(!hasCompiler)("a kernel that is refused is named by the run that wants it, and others run", async () => {
  const plan = await handMade("native");
  if (plan.code.kind !== "c") throw new Error(plan.code.kind);
  const [first, ...others] = plan.code.kernels;
  const broken = { ...others[others.length - 1]!, text: "what is this" };
  const code = { ...plan.code, kernels: [first!, ...others.slice(0, -1), broken] };
  const session = await (await openDevice("native", { threads: 2 })).load({ ...plan, code });
  for (let i = 0; i < 2; i++) {
    await expect(session.run("update")).rejects.toThrow(DeviceError);
    await expect(session.profile("update")).rejects.toThrow(/^the C compiler \(.+\) refused update: .*error: /);
    expect((await session.run("fold", [refs.y]))[0]).toHaveLength(SIZE);
  }
  await session.close();
});

describe.skipIf(!hasCompiler)("the cache", () => {
  const librariesIn = (path: string): string[] => filesIn(path).filter((name) => name.endsWith(".so"));

  it("that cannot be written is a folder for temporary files", async () => {
    const temporary = empty("temporary");
    const { device, y, temporary: seen } = await inProcess("native", { MHC_CACHE: nowhere(), TMPDIR: temporary });
    expect(device).toBe("native");
    close(y);
    expect(seen).toEqual([expect.stringMatching(/^mhc-native-/)]);
  });

  it("where nothing at all can be written is a DeviceError", async () => {
    const { error } = await inProcess("native", { MHC_CACHE: nowhere(), TMPDIR: nowhere() });
    expect(error?.name).toBe("DeviceError");
    expect(error?.message).toMatch(/^no folder for compiled kernels can be written: /);
  });

  it("makes anew what was cut off, or is of its size and no object file", async () => {
    const MHC_CACHE = empty("cut off");
    close((await inProcess("native", { MHC_CACHE })).y);
    const libraries = librariesIn(MHC_CACHE);
    for (const path of libraries) writeFileSync(path, readFileSync(path).subarray(0, 4000));
    close((await inProcess("native", { MHC_CACHE })).y);
    const objects = filesIn(MHC_CACHE).filter((name) => name.endsWith(".o"));
    for (const path of objects) writeFileSync(path, Buffer.alloc(statSync(path).size, 7));
    for (const path of libraries) rmSync(path);
    close((await inProcess("native", { MHC_CACHE })).y);
    expect(librariesIn(MHC_CACHE)).toEqual(libraries);
  });

  it.each(["", "no library at all"])("makes anew libraries that were damaged (%j)", async (content) => {
    const MHC_CACHE = empty(`damaged ${content.length}`);
    close((await inProcess("native", { MHC_CACHE })).y);
    const libraries = librariesIn(MHC_CACHE);
    const sizes = libraries.map((path) => statSync(path).size);
    expect(libraries.length).toBeGreaterThan(0);
    for (const path of libraries) writeFileSync(path, content);
    close((await inProcess("native", { MHC_CACHE })).y);
    expect(librariesIn(MHC_CACHE)).toEqual(libraries);
    expect(libraries.map((path) => statSync(path).size)).toEqual(sizes);
  });

  it("loses what nobody has used for months, and nothing else", async () => {
    const MHC_CACHE = empty("old");
    close((await inProcess("native", { MHC_CACHE })).y);
    const objects = filesIn(MHC_CACHE).filter((name) => name.endsWith(".o"));
    const [old, recent] = ["old.o", "recent.o"].map((name) => join(dirname(objects[0]!), name)) as [string, string];
    for (const file of [old, recent]) writeFileSync(file, "");
    const aged = (file: string, days: number): void => {
      const then = new Date(Date.now() - days * 24 * 3600 * 1000);
      utimesSync(file, then, then);
    };
    aged(recent, 2);
    // What is in use was made long ago, too.
    for (const file of [old, ...objects]) aged(file, 100);
    for (const library of librariesIn(MHC_CACHE)) rmSync(library);
    close((await inProcess("native", { MHC_CACHE })).y);
    expect([existsSync(old), existsSync(recent)]).toEqual([false, true]);
    expect(objects.filter((file) => !existsSync(file))).toEqual([]);
  });

  it("is written by two processes at once", async () => {
    const env = { MHC_CACHE: empty("shared") };
    for (const { y } of await Promise.all([inProcess("native", env), inProcess("native", env)])) close(y);
    expect(filesIn(env.MHC_CACHE).filter((path) => !/\.(o|so)(\.size)?$/.test(path))).toEqual([]);
  });
});

describe.skipIf(!hasCompiler)("a session", () => {
  const x = Float32Array.from({ length: SIZE }, (_, i) => Math.sin(i));
  const t = Uint32Array.from({ length: SIZE }, (_, i) => (i * 37) % 11);
  const opened: Session[] = [];
  afterEach(() => Promise.all(opened.splice(0).map((session) => session.close())));

  async function open(threads: number): Promise<Session> {
    const session = await (await openDevice("native", { threads })).load(await handMade("native"));
    opened.push(session);
    session.write(refs.x, x);
    session.write(refs.t, t);
    return session;
  }

  it("gives the same bits with 1, 2 and 3 threads, run again and again", async () => {
    const expected = folded([...x], [...t]);
    const sessions = [await open(1), await open(2), await open(3)];
    let bits: readonly unknown[] | null = null;
    // Threads that meet wrongly do so once in a while.
    for (let i = 0; i < 50; i++)
      for (const session of sessions) {
        const found = await session.run("fold", [refs.y, refs.sum]);
        expect(found).toEqual((bits ??= found));
      }
    const [y] = (await sessions[0]!.run("fold", [refs.y])) as [Float32Array];
    const scale = Math.max(...expected.y.map(Math.abs));
    y.forEach((value, i) => expect(Math.abs(value - expected.y[i]!) / scale).toBeLessThan(1e-6));
  });

  it.each([1, 3])("is timed dispatch by dispatch, with the bits of a run, on %i thread(s)", async (threads) => {
    const session = await open(threads);
    const [whole] = await session.run("fold", [refs.y]);
    const { dispatches } = (await handMade("native")).entries["fold"]!;
    const begun = performance.now();
    const times = await session.profile("fold");
    const took = performance.now() - begun;
    expect(times).toHaveLength(dispatches.length);
    for (const ms of times) expect(ms).toBeGreaterThanOrEqual(0);
    const total = times.reduce((sum, ms) => sum + ms, 0);
    expect(total).toBeGreaterThan(0);
    expect(total).toBeLessThanOrEqual(took);
    expect(await session.read(refs.y)).toEqual(whole);
    expect(await session.profile("nothing")).toEqual([]);
    await expect(session.profile("walk")).rejects.toThrow("the plan has no entry walk");
  });

  it("works beside others of other numbers of threads", async () => {
    const sessions = [await open(1), await open(2), await open(3), await open(2)];
    // Each counts from another number.
    sessions.forEach((session, i) => session.write(refs.x, new Float32Array(SIZE).fill(10_000 * i)));
    await Promise.all(
      sessions.map(async (session) => {
        for (let i = 0; i < 100; i++) await session.run("update");
      }),
    );
    for (const [i, session] of sessions.entries())
      expect(new Set(await session.read(refs.x))).toEqual(new Set([10_000 * i + 100]));
  });

  it("refuses what overlaps with a run, and goes on afterwards", async () => {
    const session = await open(3);
    const first = session.run("fold", [refs.y]);
    await expect(session.run("update")).rejects.toThrow(DeviceError);
    await expect(session.profile("update")).rejects.toThrow("overlap");
    const [y] = await first;
    expect(await session.run("fold", [refs.y])).toEqual([y]);
  });

  it("that is closed during a run ends it first, and refuses what comes later", async () => {
    const session = await open(3);
    const run = session.run("fold", [refs.y]);
    const closed = session.close();
    expect((await run)[0]).toHaveLength(SIZE);
    await closed;
    await expect(session.run("fold")).rejects.toThrow("the session is closed");
    await expect(session.profile("fold")).rejects.toThrow("the session is closed");
    await session.close();
  });

  it("of many threads is opened and closed again and again", async () => {
    for (let i = 0; i < 20; i++) {
      const session = await open(8);
      if (i % 2) await session.run("fold");
      await session.close();
    }
  });
});
