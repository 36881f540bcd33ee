/** Bounds of products of matrices: of the whole, and of the parts of it that a stream goes through. */

/** A bound of a product, and the largest of those of its parts: up to every factor, or from every factor on. */
export interface Extent {
  readonly whole: number;
  readonly most: number;
}

const nothing: Extent = { whole: 1, most: 0 };
/** `first` is nearer to the end that every part reaches. */
const joined = (first: Extent, second: Extent): Extent => ({
  whole: first.whole * second.whole,
  most: Math.max(first.most, first.whole * second.most),
});
/** The parts grow or fall from layer to layer, so that the largest is in the first or the last. */
const repeated = ({ whole, most }: Extent, count: number): Extent =>
  count === 0 ? nothing : { whole: whole ** count, most: Math.max(most, whole ** (count - 1) * most) };

/** Of the largest row sums, and of the largest column sums. */
export interface Extents {
  readonly rows: Extent;
  readonly columns: Extent;
}

/** Of nothing: the product of no matrix. */
export const noExtents: Extents = { rows: nothing, columns: nothing };

/** Bounds of one product and then of another. */
export const joinedExtents = (first: Extents, second: Extents): Extents => ({
  rows: joined(first.rows, second.rows),
  columns: joined(second.columns, first.columns),
});

/** Bounds of a product that is repeated so many times. */
export const repeatedExtents = ({ rows, columns }: Extents, count: number): Extents => ({
  rows: repeated(rows, count),
  columns: repeated(columns, count),
});
