// Sees when a store in SQLite is about to commit something: each is a step at which the store may
// crash. While a test runs, methods of the runtime's SQLite classes are wrapped. A database that is
// in no directory of a test is not affected.
//
// Until a transaction ends, a crash leaves what was there before it. So a step comes before each
// commit only, and before each write outside of a transaction.

import { realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { type StatementKind, statementKind, statementsOf } from "./sql_text.ts";

/** Called before a write, with a few words about it. What it throws is thrown to the store. */
export type BeforeWrite = (what: string) => void;

type Method = (this: object, ...given: unknown[]) => unknown;
type Methods = Record<string, unknown>;

/** A database of either module. */
interface AnyDatabase {
  location?(): string | null;
  readonly filename?: string;
  readonly isTransaction?: boolean;
  readonly inTransaction?: boolean;
}

/** A statement that a database has prepared. */
interface Prepared {
  readonly database: AnyDatabase;
  readonly text: string;
  readonly kind: StatementKind;
}

const SHOWN = 60;

/** Who is told of writes to databases in a directory. */
const watchers = new Map<string, BeforeWrite>();
/** The statements that were prepared while a test ran. */
const prepared = new WeakMap<object, Prepared>();
/** What is known of texts, because stores run the same ones again and again. */
const kinds = new Map<string, StatementKind>();
const parts = new Map<string, readonly string[]>();
const MOST_TEXTS = 1000;
/** The directories above each database. */
const placesOf = new WeakMap<object, readonly string[]>();
/** Puts the methods back. */
let undo: (() => void)[] = [];

/** Is told of writes to the databases in a directory, until the returned function is called. */
export function watchDatabases(directory: string, beforeWrite: BeforeWrite): () => void {
  if (watchers.size === 0) wrapAll();
  // SQLite names a database by its path without symbolic links.
  const paths = new Set([directory, realpathSync(directory)]);
  for (const path of paths) watchers.set(path, beforeWrite);
  return () => {
    for (const path of paths) if (watchers.get(path) === beforeWrite) watchers.delete(path);
    if (watchers.size > 0) return;
    for (const unwrap of undo) unwrap();
    undo = [];
  };
}

function wrapAll(): void {
  const own = builtin("node:sqlite");
  if (own !== null) {
    const database = prototypeOf(own, "DatabaseSync");
    wrap(database, "prepare", noteStatement);
    wrap(database, "exec", executeByStatement);
    for (const name of ["run", "get", "all", "iterate"]) wrap(prototypeOf(own, "StatementSync"), name, runPrepared);
  }
  const bun = builtin("bun:sqlite");
  if (bun !== null) {
    const database = prototypeOf(bun, "Database");
    for (const name of ["prepare", "query"]) wrap(database, name, noteBunStatement);
    for (const name of ["run", "exec"]) wrap(database, name, executeByStatement);
    wrap(database, "transaction", endBySteps);
  }
}

/** A module of the runtime; null if it has none of that name. */
function builtin(name: string): Methods | null {
  const { getBuiltinModule } = process as unknown as { getBuiltinModule?(name: string): Methods | undefined };
  try {
    return getBuiltinModule?.(name) ?? null;
  } catch {
    return null;
  }
}

/** The object that has the methods of a class. Deno's class inherits them from another one. */
function prototypeOf(module: Methods, name: string): Methods {
  return (module[name] as { prototype: Methods }).prototype;
}

/** Replaces a method by one that gets the original and what it was called with. */
function wrap(
  object: Methods,
  name: string,
  around: (method: Method, self: object, given: unknown[]) => unknown,
): void {
  const method = object[name] as Method | undefined;
  if (typeof method !== "function") return;
  const isOwn = Object.hasOwn(object, name);
  const wrapper: Method = function (...given) {
    return around(method, this, given);
  };
  object[name] = wrapper;
  undo.push(() => {
    // Others may have wrapped it too; then ours stays, and does nothing.
    if (object[name] !== wrapper) return;
    if (isOwn) object[name] = method;
    else delete object[name];
  });
}

function noteStatement(method: Method, database: object, given: unknown[]): unknown {
  const statement = Reflect.apply(method, database, given) as object;
  note(statement, database, given[0]);
  return statement;
}

/** Bun's statements have methods of their own. A query is prepared once, and then found again. */
function noteBunStatement(method: Method, database: object, given: unknown[]): unknown {
  const statement = Reflect.apply(method, database, given) as object & Methods;
  if (prepared.has(statement) || watcherOf(database) === null) return statement;
  note(statement, database, given[0]);
  for (const name of ["run", "get", "all", "values", "raw", "iterate"]) {
    const own = statement[name] as Method | undefined;
    if (typeof own !== "function") continue;
    statement[name] = function (this: object, ...values: unknown[]) {
      return runPrepared(own, this, values);
    };
  }
  return statement;
}

function note(statement: object, database: AnyDatabase, sql: unknown): void {
  const text = String(sql);
  prepared.set(statement, { database, text, kind: kindOf(text) });
}

function runPrepared(method: Method, statement: object, given: unknown[]): unknown {
  const found = prepared.get(statement);
  if (found !== undefined) before(found);
  return Reflect.apply(method, statement, given);
}

/** A text of several statements is several commits, unless it has a transaction. */
function executeByStatement(method: Method, database: object, given: unknown[]): unknown {
  const [text, ...values] = given;
  if (typeof text !== "string" || values.length > 0 || watcherOf(database) === null) {
    if (typeof text === "string") before({ database, text, kind: kindOf(text) });
    return Reflect.apply(method, database, given);
  }
  let result: unknown;
  for (const part of partsOf(text)) {
    before({ database, text: part, kind: kindOf(part) });
    result = Reflect.apply(method, database, [part]);
  }
  return result;
}

/** A text in parts. Each begins with the only statement in it that may commit something. */
function partsOf(text: string): readonly string[] {
  const known = parts.get(text);
  if (known !== undefined) return known;
  const found: string[] = [];
  for (const statement of statementsOf(text)) {
    if (found.length > 0 && statementKind(statement) === "other") found[found.length - 1] += statement;
    else found.push(statement);
  }
  return remember(parts, text, found.length === 0 ? [text] : found);
}

function kindOf(text: string): StatementKind {
  return kinds.get(text) ?? remember(kinds, text, statementKind(text));
}

function remember<T>(known: Map<string, T>, text: string, value: T): T {
  if (known.size >= MOST_TEXTS) known.clear();
  known.set(text, value);
  return value;
}

/** Bun ends a transaction that is a function with a statement of its own. */
function endBySteps(method: Method, database: object, given: unknown[]): unknown {
  const [body, ...others] = given;
  if (typeof body !== "function") return Reflect.apply(method, database, given);
  const stepping: Method = function (...values) {
    const result = Reflect.apply(body, this, values);
    before({ database, text: "COMMIT", kind: "commits" });
    return result;
  };
  return Reflect.apply(method, database, [stepping, ...others]);
}

function before({ database, text, kind }: Prepared): void {
  if (kind === "other") return;
  const beforeWrite = watcherOf(database);
  if (beforeWrite === null) return;
  const isWithin = database.isTransaction ?? database.inTransaction ?? false;
  if (kind === "writes" && isWithin) return;
  const line = text.trim().replaceAll(/\s+/g, " ");
  beforeWrite(`SQLite: ${line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line}`);
}

/** Who is told of writes to a database: whoever watches the nearest directory above it. */
function watcherOf(database: AnyDatabase): BeforeWrite | null {
  let places = placesOf.get(database);
  if (places === undefined) {
    const path = pathOf(database);
    if (path === null) return null;
    places = directoriesAbove(path);
    placesOf.set(database, places);
  }
  for (const directory of places) {
    const beforeWrite = watchers.get(directory);
    if (beforeWrite !== undefined) return beforeWrite;
  }
  return null;
}

function directoriesAbove(path: string): readonly string[] {
  const directories: string[] = [];
  for (let place = dirname(path); place !== directories.at(-1); place = dirname(place)) directories.push(place);
  return directories;
}

/** The path of a database; null if it is in memory, or not open. */
function pathOf(database: AnyDatabase): string | null {
  try {
    const path = database.location?.() ?? database.filename ?? "";
    return path === "" || path === ":memory:" ? null : resolve(path);
  } catch {
    return null; // it says so to whoever uses it
  }
}
