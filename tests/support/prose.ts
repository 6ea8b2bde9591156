// The sentences of a Markdown text: without code, each table cell and list item by itself.

/** A sentence, and the line that its paragraph begins in. */
export interface Sentence {
  readonly line: number;
  readonly text: string;
  readonly words: number;
}

/**
 * Sentences outside of code blocks and of generated parts, from `<!-- name -->` to `<!-- /name
 * -->`.
 */
export function sentencesOf(markdown: string): Sentence[] {
  return blocksOf(markdown).flatMap(({ line, text }) =>
    splitSentences(plain(text)).map((sentence) => ({ line, text: sentence, words: wordsOf(sentence) }))
  );
}

interface Block {
  readonly line: number;
  text: string;
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | null = null;
  let skippedUntil: string | null = null;
  for (const [index, raw] of markdown.split("\n").entries()) {
    const line = raw.trim();
    if (skippedUntil !== null) {
      if (line === skippedUntil) skippedUntil = null;
      continue;
    }
    const generated = /^<!-- (\w+) -->$/.exec(line);
    if (generated !== null || line.startsWith("```")) {
      skippedUntil = generated === null ? "```" : `<!-- /${generated[1]} -->`;
      open = null;
    } else if (line === "" || line.startsWith("#") || line.startsWith("![")) {
      open = null;
    } else if (line.startsWith("|")) {
      open = null;
      for (const cell of line.split(/(?<!\\)\||<br>/)) blocks.push({ line: index + 1, text: cell });
    } else if (open === null || /^([-*]|\d+\.) /.test(line)) {
      open = { line: index + 1, text: line.replace(/^([-*]|\d+\.) /, "") };
      blocks.push(open);
    } else {
      open.text += ` ${line}`;
    }
  }
  return blocks;
}

/** Text without marks: a piece of code is one word, a link is its text. */
function plain(text: string): string {
  return text.replaceAll(/`[^`]*`/g, "code").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(
    /\*\*|_(?=\w)|(?<=\w)_/g,
    "",
  );
}

function splitSentences(text: string): string[] {
  return text.split(/(?<=[.!?][)"”]?)\s+(?=[\p{Lu}\d("“]|code)/u).map((sentence) => sentence.trim()).filter((
    sentence,
  ) => sentence !== "");
}

function wordsOf(sentence: string): number {
  return sentence.split(/\s+/).filter((word) => /[\p{L}\d]/u.test(word)).length;
}
