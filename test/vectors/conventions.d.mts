/** Where an element of a page's tensor stands in a vector's tensor of that name. */
export interface Place {
  readonly of: string;
  readonly shape: readonly number[];
  readonly at: (...coords: readonly number[]) => number;
}
/** A connection or a head, as a page and as a vector. */
export interface Convention {
  readonly via?: string;
  readonly head?: string;
  readonly set?: string;
  readonly shapes: (n: number) => Readonly<Record<string, readonly number[]>>;
  readonly parameters: (n: number) => Readonly<Record<string, Place>>;
  readonly coefficients: (n: number) => readonly (readonly [name: string, text: string, shape: readonly number[]])[];
}
export declare const CONVENTIONS: Readonly<Record<string, Convention>>;
export declare const LANES: readonly number[];
export declare const pageOf: (convention: Convention, n: number) => string;
export declare const inputOf: (n: number) => Place;
export declare const outputOf: (convention: Convention, n: number) => Place;
export declare const taken: (at: Place, data: ArrayLike<number>) => number[];
export declare const put: (at: Place, values: ArrayLike<number>, data: number[]) => void;
