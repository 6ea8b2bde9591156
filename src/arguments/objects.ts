// Objects that callers hand in: options, runs, records. And texts.

import { show } from "./numbers.ts";

/** @throws {TypeError} if it is no object. */
export function checkObject(value: unknown, name: string): asserts value is object {
  if (value !== null && typeof value === "object") return;
  throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be an object`);
}

/** @throws {RangeError} if a text has half of a surrogate pair, which has no bytes in UTF-8. */
export function checkWellFormed(value: string, name: string): void {
  if (value.isWellFormed()) return;
  throw new RangeError(`Cannot use ${show(value)} as ${name}: it has half of a surrogate pair, which is no character`);
}

/** @throws {TypeError} if they are no object, or have another option, which may be misspelt. */
export function checkOptionNames(options: unknown, names: readonly string[]): void {
  checkObject(options, "options");
  const other = Object.keys(options).find((name) => !names.includes(name));
  if (other === undefined) return;
  throw new TypeError(`Cannot use ${show(other)} as an option: there is no option of this name`);
}
