// Failed write-backs of a file, as Linux reports them (errseq_t): every open file description
// learns of the last one, once.

/** The write-back errors of one file. */
export class WriteErrors {
  #sequence = 0;
  #name = "EIO";
  /** Some description has learned of the last error. */
  #isSeen = true;

  /**
   * The last error that counts as learned for a description that is opened now. It will still learn
   * of an error that no description has seen (Linux: errseq_sample).
   */
  get learned(): number {
    return this.#isSeen ? this.#sequence : this.#sequence - 1;
  }

  /** A write-back has failed. */
  raise(name = "EIO"): void {
    this.#sequence++;
    this.#name = name;
    this.#isSeen = false;
  }

  /**
   * Tells a description the last error, unless it has learned of it (Linux:
   * file_check_and_advance_wb_err).
   */
  tell(description: { errorSequence: number }): string | null {
    if (description.errorSequence === this.#sequence) return null;
    description.errorSequence = this.#sequence;
    this.#isSeen = true;
    return this.#name;
  }

  /** Power loss: the kernel forgets them. */
  clear(): void {
    this.#sequence = 0;
    this.#isSeen = true;
  }

  clone(): WriteErrors {
    const copy = new WriteErrors();
    copy.#sequence = this.#sequence;
    copy.#name = this.#name;
    copy.#isSeen = this.#isSeen;
    return copy;
  }
}
