/**
 * A page's worker as a file, for policies that forbid `blob:`. Bundlers find it by the URL that `worker.ts` makes of
 * its name.
 */
import { serve, type Order } from "../wasm/serve.js";

const receive = serve((answer, transfer) => self.postMessage(answer, { transfer }));
self.addEventListener("message", (event: MessageEvent<Order>) => receive(event.data));
