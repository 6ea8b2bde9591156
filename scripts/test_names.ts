// Reads the hazards that a test file names, and the table in docs/faults.md.

/** The hazards in a test file's opening lines: `H3`, and each of `H1–H4`. */
export function hazardsNamed(source: string): Set<string> {
  const opening = source.split("\n\n")[0]!;
  const named = new Set<string>();
  for (const [, first, last] of opening.matchAll(/\bH(\d+)(?:\s*[–-]\s*H?(\d+))?/g)) {
    for (let number = Number(first); number <= Number(last ?? first); number++) named.add(`H${number}`);
  }
  return named;
}

/** A row of the table: a hazard, the promises it threatens, and the tests as `file › name`. */
export interface FaultRow {
  readonly hazard: string;
  readonly promises: string;
  readonly tests: readonly { readonly file: string; readonly name: string }[];
  /** Why there is no test, or what the tests leave out. */
  readonly note: string;
}

/** The rows between the markers of the fault table. */
export function faultRows(text: string): FaultRow[] {
  const table = text.split("<!-- faults -->")[1]?.split("<!-- /faults -->")[0] ?? "";
  return table.split("\n").filter((line) => /^\| H\d+ /.test(line)).map((line) => {
    const [, hazard = "", , promises = "", tests = "", note = ""] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const named = tests === "" || tests === "—" ? [] : tests.split("<br>").map((entry) => {
      const [file = "", name = ""] = entry.split(" › ");
      return { file: `tests/${file.trim().replaceAll("`", "")}`, name: name.trim().replaceAll("\\|", "|") };
    });
    return { hazard, promises, tests: named, note: note ?? "" };
  });
}

/** A row of the table of mutants. */
export interface MutantRow {
  readonly name: string;
  readonly hazard: string;
  readonly file: string;
  readonly test: string;
}

/** The rows between the markers of the mutants. */
export function mutantRows(text: string): MutantRow[] {
  const table = text.split("<!-- mutants -->")[1]?.split("<!-- /mutants -->")[0] ?? "";
  return table.split("\n").filter((line) => /\| H\d+ /.test(line)).map((line) => {
    const [, name = "", hazard = "", by = ""] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const [file = "", test = ""] = by.split(" › ");
    return { name, hazard, file: `tests/${file.replaceAll("`", "")}`, test: test.replaceAll("\\|", "|") };
  });
}

/**
 * The names of the tests in a source, each as a pattern: what a template puts in may be anything. A name that is made elsewhere is
 * not found.
 */
export function testNames(source: string): RegExp[] {
  const names: RegExp[] = [];
  for (const { index, 0: call } of source.matchAll(/(?<![\w.])test\(\s*(?=["'`])/g)) {
    const start = index + call.length;
    const quote = source[start];
    let pattern = "";
    for (let at = start + 1; at < source.length && source[at] !== quote; at++) {
      if (source[at] === "\\") pattern += RegExp.escape(source[++at]!);
      else if (quote === "`" && source.startsWith("${", at)) {
        at = endOfHole(source, at + 2);
        pattern += ".*";
      } else pattern += RegExp.escape(source[at]!);
    }
    names.push(new RegExp(`^${pattern}$`));
  }
  return names;
}

/** The place of the brace that ends a template's hole. */
function endOfHole(source: string, from: number): number {
  let depth = 1;
  let at = from;
  for (; at < source.length && depth > 0; at++) {
    if (source[at] === "{") depth++;
    else if (source[at] === "}") depth--;
  }
  return at - 1;
}
