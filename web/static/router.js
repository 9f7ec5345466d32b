// Where one is: `#/unit/RUN/UNIT?x=y`, so that every address can be kept and sent.

import { useEffect, useState } from "./vendor/preact.js";

/** {name, rest: [decoded segments], query: URLSearchParams} of a hash. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name = "", ...rest] = path.split("/").map(decoded);
  return { name, rest, query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The hash of a view. */
export function link(name, rest = [], query = {}) {
  const pairs = Object.entries(query)
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((one) => [key, one]))
    .filter(([, value]) => value !== undefined && value !== null && value !== "");
  const path = [name, ...rest.map(encodeURIComponent)].join("/");
  return `#/${path}${pairs.length ? `?${new URLSearchParams(pairs)}` : ""}`;
}

/** The page of a unit: its slashes stay readable. */
export const unitLink = (run, unit) =>
  `${link("unit", [run])}/${unit.split("/").map(encodeURIComponent).join("/")}`;

export const go = (hash) => {
  location.hash = hash;
};

/** The same view with another query: no step in the history. */
export const amend = (hash) => {
  if (hash === location.hash) return;
  history.replaceState(history.state, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
};

export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parse(hash);
}
