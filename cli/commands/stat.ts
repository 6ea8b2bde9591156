// cidwal stat: the figures of a log at this moment.

import { type LogInspection, WAL } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, operand } from "../command.ts";
import { type Bucket, type CommitFigures, commitFigures } from "../commit_figures.ts";
import { Exit } from "../exit_codes.ts";
import { stdout } from "../output.ts";
import {
  atRight,
  bar,
  bytesText,
  counted,
  grouped,
  type Look,
  lookOf,
  type Row,
  rows,
  styled,
  visible,
  wrapped,
} from "../terminal.ts";
import { duration } from "../times.ts";

function run(given: Given): Exit {
  const path = operand(given, 0, "FILE");
  const figures = WAL.inspect(path);
  const nowMs = Date.now(); // afterwards, because records may come meanwhile
  const commits = commitFigures(figures);
  if (given.has("json")) stdout.text(`${JSON.stringify({ ...figures, commits })}\n`);
  else draw(lookOf("stdout", given.has("no-color")), figures, commits, nowMs);
  stdout.end();
  return Exit.Done;
}

/** Columns of a drawing where the output is no terminal, and the most where it is. */
const USUAL_COLUMNS = 80;
const MOST_COLUMNS = 120;

function draw(terminal: Look, figures: LogInspection, commits: CommitFigures | null, nowMs: number): void {
  const look = {
    ...terminal,
    columns: Math.min(MOST_COLUMNS, terminal.columns === Infinity ? USUAL_COLUMNS : terminal.columns),
  };
  stdout.text(`${styled(look, "bold", visible(figures.path))}\n`);
  stdout.text(rows(look, figureRows(look, figures, nowMs)));
  for (const warning of figures.warnings) {
    stdout.text(rows(look, [{ name: "warning", value: styled(look, "yellow", warning) }]));
  }
  if (commits !== null) {
    const { firstLsn, lastLsn } = commits;
    stdout.text(`\n${grouped(commits.commits)} commits wrote LSN ${firstLsn} to ${lastLsn}\n`);
    stdout.text(histogram(look, "records in a commit", commits.recordsPerCommit));
    stdout.text(histogram(look, "ms between commits", commits.msBetweenCommits));
  }
  const note = "How long syncs take, only the writer knows: stats().syncLatency.";
  for (const line of wrapped(note, look.columns)) stdout.text(`${styled(look, "dim", line)}\n`);
}

function figureRows(look: Look, figures: LogInspection, nowMs: number): Row[] {
  const { logId, origin, createdMs, fileSystem, sizeBytes, capacity, length, fillRatio, head, tail } = figures;
  const { durable, checkpoint, oldestMs, newestMs, clean, openerPid } = figures;
  const on = fileSystem === null ? "" : ` on ${fileSystem}`;
  const state = clean
    ? "closed cleanly"
    : `open, or not closed${openerPid === null ? "" : `: process ${openerPid} opened it last`}`;
  return [
    { name: "log", value: logId },
    ...createdMs === null ? [] : [{ name: "made", value: timeText(createdMs, nowMs) }],
    ...origin === null ? [] : [{ name: "copy of", value: `${origin.logId} through LSN ${origin.lastLsn}` }],
    { name: "file", value: `${bytesText(sizeBytes)}${on}, ${grouped(capacity)} slots` },
    { name: "state", value: state },
    { name: "fill", value: fillText(look, fillRatio, length, capacity) },
    { name: "records", value: length === 0 ? `none, the next is LSN ${head}` : `LSN ${tail} to ${head - 1}` },
    { name: "durable", value: durable === 0 ? "nothing" : `through LSN ${durable}${aheadText(head - 1 - durable)}` },
    { name: "in the store", value: checkpoint === 0 ? "nothing is confirmed" : `through LSN ${checkpoint}` },
    ...figures.consumers.map(({ name, confirmed, isLost }) => ({
      name: "consumer",
      value: `${name === "" ? "without a name" : visible(name)}: ${
        isLost ? styled(look, "red", "lost, at") : "through"
      } LSN ${confirmed}, ${counted(Math.max(0, head - 1 - confirmed), "record")} behind`,
    })),
    ...oldestMs === null ? [] : [{ name: "oldest", value: timeText(oldestMs, nowMs) }],
    ...newestMs === null ? [] : [{ name: "newest", value: timeText(newestMs, nowMs) }],
  ];
}

function aheadText(count: number): string {
  return count <= 0 ? "" : `, and ${grouped(count)} appended after it`;
}

function timeText(ms: number, nowMs: number): string {
  const age = nowMs - ms;
  const relative = age >= 0 ? `${duration(age)} ago` : `in ${duration(-age)}`;
  return `${new Date(ms).toISOString()}, ${relative}`;
}

function fillText(look: Look, ratio: number, length: number, capacity: number): string {
  const style = ratio >= 0.9 ? "red" : ratio >= 0.7 ? "yellow" : "green";
  const text = `${(100 * ratio).toFixed(1)} %, ${grouped(length)} of ${grouped(capacity)}`;
  const columns = Math.max(8, Math.min(30, look.columns - 16 - text.length));
  return `${styled(look, style, bar(ratio, columns).padEnd(columns, "░"))} ${text}`;
}

function histogram(look: Look, title: string, buckets: readonly Bucket[]): string {
  const most = Math.max(...buckets.map(({ count }) => count));
  const left = Math.max(...buckets.map(({ name }) => name.length));
  const right = grouped(most).length;
  const room = Math.max(10, Math.min(60, look.columns - left - right - 4));
  const lines = buckets.map(({ name, count }) =>
    `  ${atRight(name, left)} ${styled(look, "cyan", bar(count / most, room))} ${grouped(count)}\n`
  );
  return `${styled(look, "bold", title)}\n${lines.join("")}`;
}

/** `cidwal stat`. */
export const stat: Command = {
  name: "stat",
  summary: "show positions, fill, ages, warnings and commits of a log",
  operands: ["FILE"],
  options: {
    json: { help: "all figures as one line of JSON" },
    "no-color": { help: "no colours" },
  },
  notes: ["Also while the log is open elsewhere. It reads a few pages, and takes no lock."],
  run,
};
