// What all views share: a value, and who wants to know when it changes.

import { useEffect, useState } from "./vendor/preact.js";

/** A cell with `get`, `set` and `use` (a hook). */
export function cell(initial) {
  let value = initial;
  const watchers = new Set();
  const set = (next) => {
    if (Object.is(next, value)) return;
    value = next;
    watchers.forEach((watcher) => watcher(next));
  };
  const use = () => {
    const [seen, see] = useState(value);
    useEffect(() => {
      see(value);
      watchers.add(see);
      return () => watchers.delete(see);
    }, []);
    return seen;
  };
  return { get: () => value, set, use };
}

/** Why the service cannot be asked: "" (it can), "offline", "token". */
export const trouble = cell("");
/** Counts up when everything is to be asked again: after a login, after it was offline. */
export const epoch = cell(0);
/** The units of the last list, for going to the next: [{run, unit}]. */
export const lastList = cell([]);
/** What a screen reader is told. */
export const said = cell("");
