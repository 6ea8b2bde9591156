// The kit's view of SQL: where a statement ends, and what may commit something.

import { assertEquals } from "@std/assert";
import { statementKind, statementsOf } from "../src/testing/sql_text.ts";
import { test } from "./support/test.ts";

test("statementsOf() cuts at each end of a statement, and at nothing that looks like one", () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["", []],
    [" ; ;-- nothing;\n/* ; */", []],
    ["UPDATE t SET a = 1", ["UPDATE t SET a = 1"]],
    ["BEGIN; UPDATE t SET a = ';''-- ;' ; COMMIT;", ["BEGIN;", " UPDATE t SET a = ';''-- ;' ;", " COMMIT;"]],
    ['SELECT ";" - 1 /* ; */ / 2 -- ;\n, `;`, [;]; END', ['SELECT ";" - 1 /* ; */ / 2 -- ;\n, `;`, [;];', " END"]],
    ["SELECT 'open ;", ["SELECT 'open ;"]],
    ["CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END; SELECT 1", [
      "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END; SELECT 1",
    ]],
  ];
  for (const [text, statements] of cases) assertEquals(statementsOf(text), statements);
});

test("statementKind() knows commits, writes, and what is neither", () => {
  const kinds: Readonly<Record<string, readonly string[]>> = {
    commits: ["COMMIT", "end transaction", "RELEASE s", "-- done\nCOMMIT;"],
    writes: [
      "INSERT INTO t VALUES (1)",
      "/* ; */ update t set a = 1",
      "WITH x AS (SELECT 1) DELETE FROM t",
      "REPLACE INTO t VALUES (1)",
      "CREATE TABLE t (a)",
      "PRAGMA user_version = 7",
      "PRAGMA main.application_id(7)",
    ],
    other: [
      "",
      "; ",
      "BEGIN IMMEDIATE",
      "ROLLBACK",
      "SAVEPOINT s",
      "SELECT 1",
      "PRAGMA synchronous = FULL",
      "PRAGMA user_version",
    ],
  };
  for (const [kind, statements] of Object.entries(kinds)) {
    assertEquals(statements.map(statementKind), statements.map(() => kind));
  }
});
