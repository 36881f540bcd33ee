/** Times of dispatches on the GPU, by timestamp queries: what `profile` reads where the adapter has them. */
import { mustAt } from "../lookup.js";

/** Most timestamps in a query set. */
const MOST_QUERIES = 4096;

/** Timestamps of the dispatches of one entry at a time. */
export interface Clock {
  /** Takes the timestamps: 2 i before dispatch i, 2 i + 1 after it. */
  readonly set: GPUQuerySet;
  /** Copies the timestamps of `count` dispatches to where they can be read, at the end of the encoder. */
  resolve(encoder: GPUCommandEncoder, count: number): void;
  /** Milliseconds of each of `count` dispatches. */
  read(count: number): Promise<number[]>;
  close(): void;
}

/** A clock for up to `most` dispatches; null where the device has no timestamps, or not so many in one set. */
export function clockFor(gpu: GPUDevice, most: number): Clock | null {
  if (!gpu.features.has("timestamp-query") || 2 * most > MOST_QUERIES) return null;
  const set = gpu.createQuerySet({ type: "timestamp", count: 2 * most });
  const bytes = 16 * most;
  const resolved = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const mapped = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  return {
    set,
    resolve(encoder, count) {
      encoder.resolveQuerySet(set, 0, 2 * count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, mapped, 0, 16 * count);
    },
    async read(count) {
      await mapped.mapAsync(GPUMapMode.READ, 0, 16 * count);
      const stamps = new BigUint64Array(mapped.getMappedRange(0, 16 * count).slice(0));
      mapped.unmap();
      return Array.from({ length: count }, (_, i) => Number(mustAt(stamps, 2 * i + 1) - mustAt(stamps, 2 * i)) / 1e6);
    },
    close() {
      set.destroy();
      resolved.destroy();
      mapped.destroy();
    },
  };
}
