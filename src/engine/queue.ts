// A list whose items are taken from the front. `Array.shift()` would move all others for each item.

/** The list is copied when it holds this many items that were taken. */
const MOST_TAKEN = 1024;

/** Items in an order. */
export class Queue<T> {
  #items: T[] = [];
  /** Index of the first item that was not taken. */
  #first = 0;

  /** The first item; undefined if there is none. */
  get first(): T | undefined {
    return this.#items[this.#first];
  }

  /** Puts an item at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /**
   * Inserts an item after all items that come before it. Those must be the first items of the list,
   * because a binary search finds their end.
   */
  insert(item: T, comesBefore: (other: T) => boolean): void {
    let low = this.#first;
    let high = this.#items.length;
    // The end is tried first, because most items belong there.
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
