/**
 * Sizes of memory as people write them: `2 GiB`, `512 MB`. Binary and decimal units both exist and differ by up to a
 * tenth, so a size needs one.
 */

const UNITS = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
} as const satisfies Readonly<Record<string, number>>;
type Unit = keyof typeof UNITS;

/** The units of memory that there are. */
export const units = Object.keys(UNITS) as readonly Unit[];

/** What looks like a unit, as part of a regular expression: a misspelt one is better named than taken for a name. */
export const unitPattern = "[KMGTkmgt][iI]?[Bb]";

/**
 * A size as it is printed (a number, a blank, a unit) and its bytes, which are NaN if there is no such unit. Null for
 * anything else.
 */
export function parseBytes(text: string): { readonly bytes: number; readonly text: string } | null {
  const match = new RegExp(`^(\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)[ \\t]*(${unitPattern})$`).exec(text.trim());
  if (!match) return null;
  const unit = units.find((name) => name === match[2]);
  return { bytes: unit ? Number(match[1]) * UNITS[unit] : Number.NaN, text: `${match[1]} ${match[2]}` };
}

/** In the largest binary unit that leaves a whole part, one decimal, rounded up: what is printed is enough. */
export function showBytes(bytes: number): string {
  const unit = (["TiB", "GiB", "MiB", "KiB"] as const).find((name) => bytes >= UNITS[name]);
  return unit ? `${Math.ceil((10 * bytes) / UNITS[unit]) / 10} ${unit}` : `${bytes} bytes`;
}
