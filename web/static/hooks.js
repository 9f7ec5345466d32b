// Hooks of the views.

import { useEffect, useRef, useState } from "./vendor/preact.js";
import { events, get } from "./api.js";
import { epoch } from "./store.js";

/**
 * What a GET answers: {data, error, loading, again, took, at}; the last two say how many milliseconds the answer took
 * and when it came. Outdated requests are aborted; the last answer stays until the
 * next is there. A path of null asks nothing.
 */
export function useGet(path, query = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: path !== null, of: null });
  const [times, setTimes] = useState(0);
  const now = epoch.use();
  const key = path === null ? null : JSON.stringify([path, query]);
  useEffect(() => {
    if (key === null) return setState({ data: null, error: null, loading: false, of: null });
    const control = new AbortController();
    const begun = performance.now();
    const timed = () => ({ took: performance.now() - begun, at: performance.now() });
    setState((before) => ({ ...before, loading: true }));
    get(path, query, control.signal).then(
      (data) => !control.signal.aborted && setState({ data, error: null, loading: false, of: key, ...timed() }),
      (error) =>
        !control.signal.aborted &&
        setState((before) => ({ data: before.of === key ? before.data : null, error, loading: false, of: key, ...timed() })),
    );
    return () => control.abort();
  }, [key, now, times]);
  return { ...state, fresh: state.of === key, again: () => setTimes(times + 1) };
}

/** The value, once it has not changed for so many milliseconds. */
export function useDebounced(value, delay) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value, delay]);
  return settled;
}

/** The data of the last server-sent event, null before the first. */
export function useEvents(path, name) {
  const [data, setData] = useState(null);
  const now = epoch.use();
  useEffect(() => {
    setData(null);
    return path === null ? undefined : events(path, name, setData);
  }, [path, name, now]);
  return data;
}

/** Calls `pressed(event)` for each key, while the view is there and no text is being typed. */
export function useKeys(pressed) {
  const latest = useRef(pressed);
  latest.current = pressed;
  useEffect(() => {
    const listen = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      latest.current(event, /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName));
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}

/** Title of the page. */
export function useTitle(title) {
  useEffect(() => {
    document.title = title ? `${title} · neurogloss` : "neurogloss";
  }, [title]);
}
