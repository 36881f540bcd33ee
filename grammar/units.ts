/** Sizes of memory as people write them: `2 GiB`, `512 MB`. Binary and decimal units both exist and differ by up to a tenth, so a size needs one. */

const UNITS = {
  KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12,
} as const satisfies Readonly<Record<string, number>>;
type Unit = keyof typeof UNITS;

/** As part of a regular expression. */
export const unitPattern = Object.keys(UNITS).join("|");

/** The bytes of a size, and the size as it is printed: a number, a blank, a unit. Null for anything else. */
export function parseBytes(text: string): { readonly bytes: number; readonly text: string } | null {
  const found = new RegExp(`^(\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)[ \\t]*(${unitPattern})$`).exec(text.trim());
  return found ? { bytes: Number(found[1]) * UNITS[found[2] as Unit], text: `${found[1]} ${found[2]}` } : null;
}

/** In the largest binary unit that leaves a whole part, one decimal, rounded up: what is printed is enough. */
export function showBytes(bytes: number): string {
  const unit = (["TiB", "GiB", "MiB", "KiB"] as const).find((name) => bytes >= UNITS[name]);
  return unit ? `${Math.ceil((10 * bytes) / UNITS[unit]) / 10} ${unit}` : `${bytes} bytes`;
}
