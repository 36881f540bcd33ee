/**
 * The workers of a page: a script that is made here, or a file. A policy may forbid either (`worker-src` without
 * `blob:`, or without `'self'`), and a bundler may leave the file behind.
 */
import { DeviceError } from "../errors.js";
import { relay, type Port } from "../wasm/port.js";
import type { Answer } from "../wasm/serve.js";
import { serveText } from "../wasm/worker-text.js";

const text = `${serveText}
const receive = serve((answer, transfer) => self.postMessage(answer, transfer));
self.addEventListener("message", (event) => receive(event.data));`;

/** What a page that asks for trusted types (`require-trusted-types-for 'script'`) wants of the address of a script. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): TrustedPolicy;
}

interface TrustedPolicy {
  /** A string for all who know nothing of trusted types. */
  createScriptURL(url: string): string;
}

/** Made once: a page refuses a second policy of the same name. */
let policy: TrustedPolicy | null = null;

function trusted(url: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  if (!trustedTypes) return url;
  policy ??= trustedTypes.createPolicy("mhc", { createScriptURL: (address) => address });
  return policy.createScriptURL(url);
}

/** A worker made of text. */
export function openBlob(): Port {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return portOf(new Worker(trusted(url)), () => URL.revokeObjectURL(url));
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
}

/** A worker made of the file beside this one. */
export const openFile = (): Port =>
  portOf(new Worker(new URL("./thread.js", import.meta.url), { type: "module" }), () => undefined);

function portOf(worker: Worker, after: () => void): Port {
  const { answer, fail, listen } = relay();
  worker.addEventListener("message", (event: MessageEvent<Answer>) => answer(event.data));
  worker.addEventListener("messageerror", () =>
    fail(new DeviceError("a worker could not be told its work: what it was sent cannot be sent here")),
  );
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    fail(
      new DeviceError(
        `a worker died: ${event.message || "it was refused, or could not be loaded"}`,
        "load the page again; fewer threads take less memory",
      ),
    );
  });
  return {
    listen,
    post: (order, transfer = []) => worker.postMessage(order, transfer),
    busy: () => undefined,
    idle: () => undefined,
    close() {
      worker.terminate();
      after();
      return Promise.resolve();
    },
  };
}
