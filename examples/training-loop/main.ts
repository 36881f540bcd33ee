/**
 * A training loop of one's own around a typed module: it trains in rounds, keeps the checkpoint whose hold-out loss is
 * the least, and ends when three rounds brought nothing better or when the page's steps are done. Ctrl-C ends it after
 * the step under way. Then it writes what the model makes of a line's beginning.
 */
import { readFileSync } from "node:fs";
import { Little } from "./generated/little.js";

const ROUND = 20;
const PATIENCE = 3;

const text = readFileSync(new URL("../../rhyme.txt", import.meta.url), "utf8");
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

const model = await Little.create({ device: "auto", seed: 1 });
console.log(`on ${model.device}`);

let best = { loss: Number.POSITIVE_INFINITY, step: 0, checkpoint: await model.checkpoint() };
let wait = PATIENCE;
while (wait > 0 && model.step < 600 && !interrupted.signal.aborted) {
  let training = 0;
  for await (const { loss } of model.train(text, { steps: ROUND })) {
    training = loss;
    if (interrupted.signal.aborted) break;
  }
  const loss = await model.holdout(text);
  console.log(`step ${model.step}: loss ${training.toFixed(3)}, hold-out loss ${loss.toFixed(3)}`);
  wait = loss < best.loss ? PATIENCE : wait - 1;
  if (loss < best.loss) best = { loss, step: model.step, checkpoint: await model.checkpoint() };
}

await model.load(best.checkpoint);
console.log(`the best was step ${best.step}: ${best.loss.toFixed(3)} nats a character`);
console.log(await model.generate("And if ", { tokens: 60, temperature: 0.7 }));
await model.close();
