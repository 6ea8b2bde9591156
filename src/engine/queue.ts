// A list that is taken from at its front: an `Array.shift()` for each item would move all the others.

/** So many that were taken are kept at most before the list is copied without them. */
const MOST_TAKEN = 1024;

/** Items in an order. */
export class Queue<T> {
  #items: T[] = [];
  /** Index of the first one that is still there. */
  #first = 0;

  /** The first item; undefined if there is none. */
  get first(): T | undefined {
    return this.#items[this.#first];
  }

  /** Puts an item at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** Puts an item behind all that come before it; those are found by halving, so they must stand in front of all others. */
  insert(item: T, comesBefore: (other: T) => boolean): void {
    let low = this.#first;
    let high = this.#items.length;
    // Mostly the end, so that is tried first.
    if (high > low && comesBefore(this.#items[high - 1]!)) low = high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comesBefore(this.#items[middle]!)) low = middle + 1;
      else high = middle;
    }
    this.#items.splice(low, 0, item);
  }

  /** Takes the first item away; there must be one. */
  shift(): T {
    const item = this.#items[this.#first++]!;
    if (this.#first === this.#items.length || (this.#first >= MOST_TAKEN && this.#first * 2 >= this.#items.length)) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
