/**
 * A step program and what is said to it: it is started once, so that what it compiles is compiled once, and waits
 * without using a core between its turns. What a program prints and reads stands in `our_step.mjs`.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** torch.compile takes a minute or two, on a machine in use several. */
const START_MS = 30 * 60_000;
const TURN_MS = 5 * 60_000;

/** What a program that failed said: the last line that names an error, else the last that says something. */
function complaint(text) {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.findLast((line) => /Error\b.*: /.test(line)) ?? lines.findLast(Boolean);
}

/** Starts a program. `message()` gives what it prints, line by line; it throws when the program has ended. */
export function start({ command: [file, ...args], env = {}, cwd }) {
  const child = spawn(file, args, { cwd, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  let words = "";
  child.stderr.on("data", (part) => (words = `${words}${part}`.slice(-20_000)));
  // A program that has ended reads nothing.
  child.stdin.on("error", () => undefined);
  const ended = new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(complaint(words) ?? `it ended with ${code ?? signal}`));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (deadline) => {
    for (;;) {
      const { value, done } = await within(lines.next(), deadline, () => child.kill("SIGKILL"));
      if (done) throw new Error(await ended);
      if (!value.startsWith("{")) continue;
      const message = JSON.parse(value);
      if (message.error) throw new Error(message.error);
      return message;
    }
  };
  return { child, ended, next, say: (line) => child.stdin.write(`${line}\n`) };
}

/** What a promise gives, or an error when it takes longer. */
async function within(promise, ms, otherwise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      otherwise();
      reject(new Error(`no answer in ${Math.round(ms / 1000)} s`));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Starts a program and waits until it can be timed: what it says of itself, and how to have steps timed and end it. */
export async function ready(contender) {
  const program = start(contender);
  try {
    let message = await program.next(START_MS);
    const { first } = message;
    while (!message.ready) message = await program.next(START_MS);
    return {
      about: { ...message, first_s: first },
      async turn(steps) {
        program.say(`go ${steps}`);
        return (await program.next(TURN_MS)).ms;
      },
      stop: () => stop(program),
    };
  } catch (error) {
    await stop(program);
    throw error;
  }
}

/** Ends a program: it ends by itself with its input, and is killed when it does not. */
export async function stop({ child, ended }) {
  child.stdin.end();
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(timer);
}
