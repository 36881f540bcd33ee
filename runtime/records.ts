/**
 * Records whose keys are names of a page. A page may call anything `constructor`, `toString` or `__proto__`, and on a
 * plain object each of these is there before anybody put it there, or changes the object when it is set. So such
 * records have no prototype, and are read by `valueAt`, which sees only what stands in a record itself: those of JSON
 * and of callers have a prototype. `test/runtime/records.test.ts` holds both.
 */

/** What stands in a record under a name; undefined when nothing does, or when there is no record. */
export const valueAt = <T>(record: Readonly<Record<string, T>> | null | undefined, name: string): T | undefined =>
  record && Object.hasOwn(record, name) ? record[name] : undefined;

/** What stands in a record under a name that it has. Throws an Error that names it when it has not. */
export function mustValue<T>(record: Readonly<Record<string, T>>, name: string): T {
  if (Object.hasOwn(record, name)) return record[name] as T;
  throw new Error(`bug: a record of ${Object.keys(record).length} has no ${name}`);
}

/** A record without a prototype; of two entries of one name the last counts. */
export function recordOf<K extends string, T>(entries: Iterable<readonly [K, T]>): Readonly<Record<K, T>> {
  const record = Object.create(null) as Record<K, T>;
  for (const [name, value] of entries) record[name] = value;
  return record;
}

/** All that stands in some records, as one; of one name the last counts. */
export const merged = <T>(
  ...records: readonly (Readonly<Record<string, T>> | null | undefined)[]
): Readonly<Record<string, T>> => recordOf(records.flatMap((record) => Object.entries(record ?? {})));
