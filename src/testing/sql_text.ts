// SQL as the kit must understand it: where a statement ends, and whether it may commit something.

/** What a statement does to what is committed. */
export type StatementKind = "commits" | "writes" | "other";

/** Statements that change nothing by themselves. Whatever is not listed counts as a write. */
const HARMLESS = /^(?:SELECT|EXPLAIN|VALUES|BEGIN|SAVEPOINT|ROLLBACK|ATTACH|DETACH|ANALYZE|REINDEX|VACUUM)\b/i;
/** The settings of a database in which a store can keep its LSN. */
const STORING_PRAGMA = /^PRAGMA\s+(?:\w+\s*\.\s*)?(?:user_version|application_id)\s*[=(]/i;
const BLANKS = /^(?:\s|;|--.*|\/\*[^]*?(?:\*\/|$))*/;
/** A piece of a statement: a comment, a quoted text, an end, or anything else. */
const PIECE = /--.*|\/\*[^]*?(?:\*\/|$)|'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)|;|[^\-/'"`[;]+|[^]/g;

/** What one statement does. The writes of a transaction count at its end. */
export function statementKind(statement: string): StatementKind {
  const text = statement.replace(BLANKS, "");
  if (/^(?:COMMIT|END|RELEASE)\b/i.test(text)) return "commits";
  if (/^PRAGMA\b/i.test(text)) return STORING_PRAGMA.test(text) ? "writes" : "other";
  return text === "" || HARMLESS.test(text) ? "other" : "writes";
}

/** The statements of a text. A text that makes a trigger stays whole: a trigger has `;` within. */
export function statementsOf(text: string): readonly string[] {
  if (/\bTRIGGER\b/i.test(text)) return [text];
  const statements: string[] = [];
  let statement = "";
  for (const [piece] of text.matchAll(PIECE)) {
    statement += piece;
    if (piece !== ";") continue;
    statements.push(statement);
    statement = "";
  }
  return [...statements, statement].filter((text) => text.replace(BLANKS, "") !== "");
}
