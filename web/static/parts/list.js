// Lists of any length: only the rows in sight are there, and only their pages are asked for.

import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { get } from "../api.js";
import { epoch } from "../store.js";

const TALLEST = 12e6; // px; browsers draw no taller elements, so beyond it scrolling is scaled
const BESIDE = 6; // rows beyond either end of the window
const KEPT = 60; // pages

/** Pages of a GET with cursor and skip: {total, item(i), ensure(first, last), error, loading}. */
export function usePages(path, query, size = 100) {
  const now = epoch.use();
  const key = path === null ? null : JSON.stringify([path, query, now]);
  const [, redraw] = useState(0);
  const [times, setTimes] = useState(0);
  const book = useRef({ key: null, pages: new Map(), total: 0 });
  const next = useRef(null);
  if (next.current?.key !== key)
    next.current = { key, pages: new Map(), asked: new Set(), total: null, error: null };
  // The list before stays in sight until the first page of the new one is there.
  const shown = next.current.total !== null || next.current.error ? next.current : book.current;
  book.current = shown;

  const fetchPage = (of, page) => {
    if (of.asked.has(page)) return;
    of.asked.add(page);
    let known = page;
    while (known > 0 && !of.pages.get(known - 1)?.next) known -= 1;
    const cursor = known > 0 ? of.pages.get(known - 1).next : undefined;
    get(path, { ...query, limit: size, cursor, skip: (page - known) * size || undefined }).then(
      (answer) => {
        of.pages.set(page, answer);
        of.total = answer.total ?? of.total ?? 0;
        of.error = null;
        if (of.pages.size > KEPT) {
          const oldest = of.pages.keys().next().value;
          of.pages.delete(oldest);
          of.asked.delete(oldest);
        }
        redraw((n) => n + 1);
      },
      (error) => {
        of.asked.delete(page);
        of.error = error;
        redraw((n) => n + 1);
      },
    );
  };
  useEffect(() => {
    if (key !== null) fetchPage(next.current, 0);
  }, [key, times]);
  const ensure = useCallback(
    (first, last) => {
      const of = next.current;
      if (key === null || of.total === null) return;
      for (let page = Math.floor(first / size); page <= Math.floor(last / size); page++) fetchPage(of, page);
    },
    [key],
  );
  return {
    total: shown.total ?? 0,
    item: (i) => shown.pages.get(Math.floor(i / size))?.items[i % size],
    ensure,
    error: shown.error,
    loading: key !== null && next.current.total === null && !next.current.error,
    again: () => setTimes(times + 1),
  };
}

/** A GET with cursors and no total: items so far, and more as the end comes into sight. */
export function useFeed(path, query, size = 20, named = "k") {
  const now = epoch.use();
  const key = path === null ? null : JSON.stringify([path, query, now]);
  const [state, setState] = useState({ key: null, items: [], next: null, error: null });
  const [times, setTimes] = useState(0);
  const busy = useRef(false);
  useEffect(() => {
    if (key === null) return setState({ key, items: [], next: null, error: null });
    const control = new AbortController();
    busy.current = true;
    get(path, { ...query, [named]: size }, control.signal).then(
      (page) => setState({ key, items: page.items, next: page.next, error: null }),
      (error) => !control.signal.aborted && setState({ key, items: [], next: null, error }),
    ).finally(() => !control.signal.aborted && (busy.current = false));
    return () => control.abort();
  }, [key, times]);
  const ensure = (first, last) => {
    if (busy.current || state.next === null || state.key !== key || last < state.items.length - 5) return;
    busy.current = true;
    get(path, { ...query, [named]: size, cursor: state.next })
      .then((page) => setState((now) => (now.key === key ? { ...now, items: [...now.items, ...page.items], next: page.next } : now)))
      .catch(() => setState((now) => ({ ...now, next: null })))
      .finally(() => (busy.current = false));
  };
  return {
    total: state.items.length, item: (i) => state.items[i], ensure, more: state.next !== null,
    error: state.error, loading: state.key !== key, again: () => setTimes(times + 1),
  };
}

/** Items at hand, as a list. */
export const listOf = (items) => ({ total: items.length, item: (i) => items[i], ensure: () => {}, error: null, loading: false });

const NARROW = matchMedia("(max-width: 700px)");

/** Height of a row, by the width of the page. */
export function useRowHeight(wide, narrow) {
  const [height, setHeight] = useState(NARROW.matches ? narrow : wide);
  useEffect(() => {
    const changed = () => setHeight(NARROW.matches ? narrow : wide);
    NARROW.addEventListener("change", changed);
    return () => NARROW.removeEventListener("change", changed);
  }, [wide, narrow]);
  return height;
}

/**
 * A list of rows of equal height that scrolls with the page. `handle.current.show(i)` brings a row into sight and
 * gives its link the focus.
 */
export function VirtualList({ list, height, children, label, handle }) {
  const box = useRef();
  const [, redraw] = useState(0);
  const wanted = useRef(null);
  const full = list.total * height;
  const drawn = Math.min(full, TALLEST);

  useEffect(() => {
    let asked = 0;
    const moved = () => {
      if (!asked) asked = requestAnimationFrame(() => { asked = 0; redraw((n) => n + 1); });
    };
    addEventListener("scroll", moved, { passive: true });
    addEventListener("resize", moved);
    moved();
    return () => {
      removeEventListener("scroll", moved);
      removeEventListener("resize", moved);
      cancelAnimationFrame(asked);
    };
  }, []);

  const top = box.current ? Math.max(0, -box.current.getBoundingClientRect().top) : 0;
  const sight = innerHeight;
  const ratio = drawn > sight && full > drawn ? (full - sight) / (drawn - sight) : 1;
  const shift = Math.min(top, Math.max(0, drawn - sight));
  const from = shift * ratio;
  const place = (i) => i * height - from + shift;
  const first = Math.max(0, Math.floor(from / height) - BESIDE);
  const last = Math.min(list.total - 1, Math.ceil((from + sight) / height) + BESIDE);

  useEffect(() => {
    const timer = setTimeout(() => list.total && list.ensure(first, last), 50);
    return () => clearTimeout(timer);
  }, [first, last, list.total, list.ensure]);

  const show = (i) => {
    const at = Math.max(0, Math.min(list.total - 1, i));
    const above = box.current.getBoundingClientRect().top;
    const bar = (document.querySelector("header.top")?.offsetHeight ?? 0) + 8;
    const y = above + place(at);
    const to = (start) => scrollTo({ top: above + scrollY + start / ratio });
    if (y < bar) to(at * height - bar);
    else if (y + height > sight) to((at + 1) * height - sight + 8);
    wanted.current = at;
    redraw((n) => n + 1);
    return at;
  };
  if (handle) handle.current = { show };
  useLayoutEffect(() => {
    if (wanted.current === null) return;
    const row = box.current.querySelector(`[data-i="${wanted.current}"] a`);
    if (!row) return;
    row.focus({ preventScroll: true });
    wanted.current = null;
  });

  const rows = [];
  for (let i = first; i <= last; i++) {
    const item = list.item(i);
    const style = { height: `${height}px`, transform: `translateY(${place(i)}px)` };
    rows.push(html`<li key=${i} data-i=${i} aria-setsize=${list.more ? -1 : list.total} aria-posinset=${i + 1} style=${style}>
      ${item ? children(item, i) : html`<div class="row empty" aria-busy="true"></div>`}
    </li>`);
  }
  return html`<ol class="virtual" ref=${box} aria-label=${label} style=${{ height: `${drawn}px` }}>${rows}</ol>`;
}
