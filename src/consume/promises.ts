// What an answer may be: a store is synchronous or asynchronous.

/** True for anything that `await` would wait for. */
export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
