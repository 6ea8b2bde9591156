// Reads what a test file says of itself: the hazards in its opening lines, and its tests' names.

/** The hazards in a test file's opening lines: `H3`, and each of `H1–H4`. */
export function hazardsNamed(source: string): Set<string> {
  const opening = source.split("\n\n")[0]!;
  const named = new Set<string>();
  for (const [, first, last] of opening.matchAll(/\bH(\d+)(?:\s*[–-]\s*H?(\d+))?/g)) {
    for (let number = Number(first); number <= Number(last ?? first); number++) named.add(`H${number}`);
  }
  return named;
}

/** What stands in a test's name for what a template puts in. */
const HOLE = "${}";

/**
 * The names of the tests in a source, with `${}` for what a template puts in. A name that is made
 * elsewhere is not found.
 */
export function testNames(source: string): string[] {
  const names: string[] = [];
  for (const { index, 0: call } of source.matchAll(/(?<![\w.])test\(\s*(?=["'`])/g)) {
    const start = index + call.length;
    const quote = source[start];
    let name = "";
    for (let at = start + 1; at < source.length && source[at] !== quote; at++) {
      if (source[at] === "\\") name += source[++at]!;
      else if (quote === "`" && source.startsWith("${", at)) {
        at = endOfHole(source, at + 2);
        name += HOLE;
      } else name += source[at]!;
    }
    names.push(name);
  }
  return names;
}

/** Whether a source has a test of this name, which a template may have made. */
export function hasTest(source: string, name: string): boolean {
  return testNames(source).some((found) =>
    new RegExp(`^${found.split(HOLE).map(RegExp.escape).join(".*")}$`).test(name)
  );
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
