// What random histories went through, by hazard: a hazard that is never met is never tested.

/** What histories went through, by hazard. */
export class Tally {
  /** Is told every system call and every verdict of recovery, in order. */
  readonly witness: ((line: string) => void) | null;
  histories = 0;
  steps = 0;
  crashes = 0;
  opens = 0;
  readonly hazards: Map<string, number> = new Map<string, number>();

  constructor(witness: Tally["witness"] = null) {
    this.witness = witness;
  }

  met(hazard: string, times = 1): void {
    this.hazards.set(hazard, (this.hazards.get(hazard) ?? 0) + times);
  }

  /** Counts what another one counted. */
  add(other: Tally): void {
    this.histories += other.histories;
    this.steps += other.steps;
    this.crashes += other.crashes;
    this.opens += other.opens;
    for (const [hazard, times] of other.hazards) this.met(hazard, times);
  }
}
