// The assertions of Deno's standard library, typed: its copy on npm comes without types.

/// <reference types="./deno_std.d.ts" />

import * as std from "deno-std/assert/mod.js";

/** A class of errors, as `instanceof` and `new` see it. */
// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;
// deno-lint-ignore no-explicit-any
type AnyClass = abstract new (...args: any[]) => any;
type Falsy = false | 0 | 0n | "" | null | undefined;

interface AssertThrows {
  (body: () => unknown, message?: string): unknown;
  <E extends Error>(
    body: () => unknown,
    errorClass: ErrorClass<E>,
    includes?: string,
    message?: string,
  ): E;
}

interface AssertRejects {
  (body: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
  <E extends Error>(
    body: () => PromiseLike<unknown>,
    errorClass: ErrorClass<E>,
    includes?: string,
    message?: string,
  ): Promise<E>;
}

/** What a failed assertion throws. */
export const AssertionError: new (
  message: string,
  options?: ErrorOptions,
) => Error = std.AssertionError;

export const assert: (
  condition: unknown,
  message?: string,
) => asserts condition = std.assert;
export const assertFalse: (
  condition: unknown,
  message?: string,
) => asserts condition is Falsy = std.assertFalse;
export const fail: (message?: string) => never = std.fail;
export const unreachable: (message?: string) => never = std.unreachable;

/** Whether two values are equal in depth. */
export const equal: (actual: unknown, expected: unknown) => boolean = std.equal;
export const assertEquals: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = std.assertEquals;
export const assertNotEquals: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = std.assertNotEquals;
export const assertStrictEquals: <T>(
  actual: unknown,
  expected: T,
  message?: string,
) => asserts actual is T = std.assertStrictEquals;
export const assertNotStrictEquals: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = std.assertNotStrictEquals;
export const assertObjectMatch: (
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  message?: string,
) => void = std.assertObjectMatch;
export const assertArrayIncludes: <T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  message?: string,
) => void = std.assertArrayIncludes;
export const assertExists: <T>(
  actual: T,
  message?: string,
) => asserts actual is NonNullable<T> = std.assertExists;

export const assertAlmostEquals: (
  actual: number,
  expected: number,
  tolerance?: number,
  message?: string,
) => void = std.assertAlmostEquals;
export const assertGreater: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = std.assertGreater;
export const assertGreaterOrEqual: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = std.assertGreaterOrEqual;
export const assertLess: <T>(actual: T, expected: T, message?: string) => void = std.assertLess;
export const assertLessOrEqual: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = std.assertLessOrEqual;

export const assertMatch: (
  actual: string,
  expected: RegExp,
  message?: string,
) => void = std.assertMatch;
export const assertNotMatch: (
  actual: string,
  expected: RegExp,
  message?: string,
) => void = std.assertNotMatch;
export const assertStringIncludes: (
  actual: string,
  expected: string,
  message?: string,
) => void = std.assertStringIncludes;

export const assertInstanceOf: <C extends AnyClass>(
  actual: unknown,
  expected: C,
  message?: string,
) => asserts actual is InstanceType<C> = std.assertInstanceOf;
export const assertNotInstanceOf: (
  actual: unknown,
  unexpected: AnyClass,
  message?: string,
) => void = std.assertNotInstanceOf;
export const assertIsError: <E extends Error>(
  error: unknown,
  errorClass?: ErrorClass<E>,
  includes?: string | RegExp,
  message?: string,
) => asserts error is E = std.assertIsError;
export const assertThrows: AssertThrows = std.assertThrows;
export const assertRejects: AssertRejects = std.assertRejects;
