/** A thread that compiles the smaller step of a page, while the thread that started it trains. */
import { parentPort, workerData } from "node:worker_threads";
import { compile } from "../compile/compile.js";
import { hostOf } from "./host.js";
import type { Recompiling } from "./project.js";
import { importDevice } from "./targets.js";

const { text, options, module } = workerData as Recompiling;
const devices = module === null ? options.devices : [await importDevice(module)];
const { host } = await hostOf(options.file, text);
const { plan, diagnostics } = await compile(text, { ...options, devices, host });
// What compiled whole compiles in part: anything else is a bug, and ends the run with its words.
if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("; "));
parentPort?.postMessage(plan);
