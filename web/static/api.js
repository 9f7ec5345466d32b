// Asking: the service below api/, or in a static export the files that stand for its answers.

import { Refusal, site } from "./site.js";
import { epoch, trouble } from "./store.js";

/** `runs/demo/unit` and {unit: "…"} as an address; empty values are left out, keys sorted. */
export function address(path, query = {}) {
  const pairs = Object.entries(query)
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((one) => [key, one]))
    .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return path + (pairs.length ? `?${new URLSearchParams(pairs)}` : "");
}

/** A segment of a path. */
export const segment = encodeURIComponent;

/** JSON of a GET. */
export async function get(path, query, signal) {
  if (site !== null) return (await import("./offline.js")).get(path, query, signal);
  return ask("GET", address(path, query), undefined, signal);
}

export const post = (path, body, signal) => ask("POST", path, body, signal);
export const remove = (path) => ask("DELETE", path);

async function ask(method, path, body, signal) {
  let response, answer;
  try {
    response = await fetch(`api/${path}`, {
      method,
      signal,
      credentials: "same-origin",
      headers: { Accept: "application/json", ...(method === "GET" ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.ok) answer = response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    trouble.set("offline");
    throw new Refusal(0, { error: "offline", message: "The service does not answer." });
  }
  if (trouble.get() === "offline") back();
  if (response.ok) return answer;
  if (response.status === 401 && path !== "session") trouble.set("token");
  throw new Refusal(response.status, await response.json().catch(() => ({})));
}

/** The service answers (again): ask everything anew. */
export function back() {
  trouble.set("");
  epoch.set(epoch.get() + 1);
}

/** Server-sent events: `seen` gets the data of each; returns what stops it. */
export function events(path, name, seen) {
  if (site !== null) return () => {};
  const source = new EventSource(`api/${path}`);
  source.addEventListener(name, (event) => seen(JSON.parse(event.data)));
  return () => source.close();
}

/** Where an image of an answer lies. */
export const imageOf = (path) => (path.startsWith("/api/") ? path.slice(1) : path);
