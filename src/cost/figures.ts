/** Figures as people read them. */

const UNITS = ["", "k", "M", "G", "T"];

/** Three digits and a prefix of a thousand: "5.96 MFLOP". */
export function scaled(value: number, unit: string, prefixes: readonly string[] = UNITS): string {
  let power = 0;
  while (Math.abs(value) >= 999.5 && power + 1 < prefixes.length) {
    value /= 1000;
    power++;
  }
  return (
    `${value === 0 ? "0" : value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2)} ` +
    `${prefixes[power]}${unit}`
  );
}

/** "1.24 mJ". */
export const joules = (value: number): string =>
  value === 0 ? "0 J" : scaled(1e12 * value, "J", ["p", "n", "u", "m", "", "k"]);

/** "56.2 MiB", "12.4 KiB". */
export function size(bytes: number): string {
  const [unit, of] =
    bytes >= 2 ** 30
      ? (["GiB", 2 ** 30] as const)
      : bytes >= 2 ** 20
        ? (["MiB", 2 ** 20] as const)
        : (["KiB", 2 ** 10] as const);
  return `${(bytes / of).toFixed(1)} ${unit}`;
}

/** "12%", of a share of 1. */
export const percent = (share: number): string => `${Math.round(100 * share)}%`;
