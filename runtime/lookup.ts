/**
 * Reads what must be there. A map or a list that lacks what is asked of it is a bug of mhc, so the error names the key
 * where a `!` would go on with `undefined`.
 */

/** The value of a key that a map has. Throws an Error that names the key when it has not. */
export function mustGet<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined && !map.has(key)) throw new Error(`bug: a map of ${map.size} has no ${words(key)}`);
  return value as V;
}

/** The item of a list at an index that it has. Throws an Error that names the index when it has not. */
export function mustAt<T>(list: ArrayLike<T>, index: number): T {
  const item = list[index];
  if (item === undefined && !(index >= 0 && index < list.length)) {
    throw new Error(`bug: a list of ${list.length} has no item ${index}`);
  }
  return item as T;
}

/** A key as an error says it: of an object its name where it has one. */
function words(key: unknown): string {
  if (typeof key !== "object" || key === null) return String(key);
  const { name, id, op } = key as { readonly name?: unknown; readonly id?: unknown; readonly op?: unknown };
  return [op, name ?? id].filter((part) => part !== undefined).join(" ") || "such key";
}
