/** What a step costs can be counted in. */
export const MEASURES = ["flops", "bytes", "energy", "time"] as const;
/** One of them. */
export type Measure = (typeof MEASURES)[number];
