import { work } from "./work.js";

void work().then((outcome) => postMessage(outcome));
