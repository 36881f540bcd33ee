/** Patterns of long lines, in parts. */

/** The parts one after the other. */
export const pattern = (...parts: readonly RegExp[]): RegExp => new RegExp(parts.map(({ source }) => source).join(""));
