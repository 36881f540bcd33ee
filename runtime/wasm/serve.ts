/**
 * What a worker does. It serves either as one of several threads that share a memory (`join`), or alone, with a memory
 * of its own that only messages reach (`own`), so that a page that may not share memory still does not wait. The
 * function needs nothing from outside of itself: `worker.ts` makes a file of it, and `worker-text.ts` is its text,
 * since a host may allow only one of these. `npm run bundle` writes that text.
 */

/** A range of the memory: its byte address, and its length in words. */
export interface MemoryRange {
  readonly at: number;
  readonly length: number;
  readonly ints: boolean;
}

/** What a worker is told to do. */
export type Order =
  /** Asks for an answer: the worker has started. */
  | { readonly kind: "hello" }
  | {
      readonly kind: "join";
      readonly module: WebAssembly.Module;
      readonly memory: WebAssembly.Memory;
      readonly thread: number;
      readonly threads: number;
      readonly scratch: number;
    }
  /** Makes a memory of so many pages. */
  | { readonly kind: "own"; readonly module: WebAssembly.Module; readonly pages: number; readonly scratch: number }
  /** Writes words at a byte address; the only order without an answer, unless it fails. */
  | { readonly kind: "write"; readonly at: number; readonly data: Float32Array | Uint32Array }
  /**
   * Walks records of a table, then reads. With a `stride`, the bytes of a record, it tells the time of each instead.
   */
  | {
      readonly kind: "run";
      readonly address: number;
      readonly count: number;
      readonly barrier: number;
      readonly stride: number | null;
      readonly reads: readonly MemoryRange[];
    };

/** What a worker says when it has followed an order, or has failed to. */
export interface Answer {
  readonly error?: string;
  /** Whether what failed is the memory, which was refused. */
  readonly memory?: boolean;
  /** Milliseconds of each dispatch, when they were asked for. */
  readonly times?: readonly number[];
  readonly reads?: readonly (Float32Array | Uint32Array)[];
}

type RunTable = (
  table: number,
  count: number,
  threads: number,
  thread: number,
  scratch: number,
  barrier: number,
) => void;

/** Takes orders, and posts an answer to each. One long function, since its text alone must be a whole worker. */
export function serve(post: (answer: Answer, transfer: ArrayBuffer[]) => void): (order: Order) => void {
  let run: RunTable | null = null;
  let memory: WebAssembly.Memory | null = null;
  let thread = 0;
  let threads = 1;
  let scratch = 0;
  const begin = (module: WebAssembly.Module): void => {
    run = new WebAssembly.Instance(module, { env: { memory: memory! } }).exports["run"] as RunTable;
    post({}, []);
  };
  const follow = (order: Order): void => {
    switch (order.kind) {
      case "hello":
        return post({}, []);
      case "join":
        ({ thread, threads, scratch, memory } = order);
        return begin(order.module);
      case "own":
        try {
          memory = new WebAssembly.Memory({ initial: order.pages, maximum: order.pages });
        } catch (error) {
          return post({ memory: true, error: String((error as Error)?.message ?? error) }, []);
        }
        scratch = order.scratch;
        return begin(order.module);
      case "write":
        new (order.data instanceof Uint32Array ? Uint32Array : Float32Array)(
          memory!.buffer,
          order.at,
          order.data.length,
        ).set(order.data);
        return;
      case "run": {
        const { address, count, barrier, stride, reads } = order;
        if (stride !== null) {
          // Dispatch by dispatch; each ends at the barrier.
          const times: number[] = [];
          for (let i = 0; i < count; i++) {
            const begun = performance.now();
            run!(address + stride * i, 1, threads, thread, scratch, barrier);
            times.push(performance.now() - begun);
          }
          return post({ times }, []);
        }
        run!(address, count, threads, thread, scratch, barrier);
        if (!reads.length) return post({}, []);
        const copies = reads.map(({ at, length, ints }) =>
          new (ints ? Uint32Array : Float32Array)(memory!.buffer, at, length).slice(),
        );
        return post(
          { reads: copies },
          copies.map(({ buffer }) => buffer as ArrayBuffer),
        );
      }
      default:
        order satisfies never;
    }
  };
  return (order) => {
    try {
      follow(order);
    } catch (error) {
      post({ error: String((error as Error)?.message ?? error) }, []);
    }
  };
}
