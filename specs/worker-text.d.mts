/** The module that holds the text of a worker, of the source of its function. */
export declare function workerText(source: string): string;
