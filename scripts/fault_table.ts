// Reads the hazards that a test file names, and the table in docs/faults.md.

/** The hazards in a test file's opening lines: `H3`, and each of `H1–H4`. */
export function hazardsNamed(source: string): Set<string> {
  const opening = source.split("\n\n")[0];
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
    const [, hazard, , promises, tests, note] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const named = tests === "" || tests === "—" ? [] : tests.split("<br>").map((entry) => {
      const [file, name] = entry.split(" › ");
      return { file: `tests/${file.trim().replaceAll("`", "")}`, name: (name ?? "").trim().replaceAll("\\|", "|") };
    });
    return { hazard, promises, tests: named, note: note ?? "" };
  });
}
