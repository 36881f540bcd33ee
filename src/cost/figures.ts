/** Figures as people read them. */

const UNITS = ["", "k", "M", "G", "T"];

/** Three digits and a prefix of a thousand: "5.96 MFLOP". */
export function scaled(value: number, unit: string, prefixes: readonly string[] = UNITS): string {
  let power = 0;
  while (Math.abs(value) >= 999.5 && power + 1 < prefixes.length) {
    value /= 1000;
    power++;
  }
  return `${value === 0 ? "0" : value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2)} ${prefixes[power]}${unit}`;
}

export const joules = (value: number): string => (value === 0 ? "0 J" : scaled(1e12 * value, "J", ["p", "n", "u", "m", "", "k"]));

export const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export const percent = (share: number): string => `${Math.round(100 * share)}%`;
