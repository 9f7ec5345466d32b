// A static export: each answer is a file, and search is done here.

import { hex } from "./vendor/sha1.js";
import { Refusal, site } from "./site.js";

/** `a?x=1&y=2` as it was before it was escaped, keys sorted: what an answer's file is named after. */
function canonical(path, query = {}) {
  const pairs = Object.entries(query)
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((one) => `${key}=${one}`))
    .filter((pair) => !/=(undefined|null|false|)$/.test(pair))
    .sort();
  return decodeURIComponent(path) + (pairs.length ? `?${pairs.join("&")}` : "");
}

const slug = (path, query) => `${hex(canonical(path, query)).slice(0, 20)}.json`;

const load = async (file, signal) => {
  const response = await fetch(site + file, { signal });
  if (!response.ok) throw new Refusal(404, { error: "not_found", message: "This export does not hold that." });
  return response.json();
};

let hits;
let index;

async function everything() {
  hits ??= load("search.json");
  return hits;
}

async function searched(query) {
  const all = await everything();
  if (!index) {
    const { default: MiniSearch } = await import("./vendor/minisearch.js");
    index = new MiniSearch({ fields: ["text"], searchOptions: { prefix: true, fuzzy: 0.2 } });
    index.addAll(all.map((hit, id) => ({ id, text: hit.label.explanation?.text ?? "" })));
  }
  return index.search(query).map((found) => ({ ...all[found.id], similarity: null }));
}

const among = (given, value) => [given ?? []].flat().length === 0 || [given].flat().includes(value);
const wanted = (query) => (hit) => among(query.run, hit.run) && among(query.state, hit.label.state);

const page = (items, query) => {
  const start = Number(query.cursor ?? 0) + Number(query.skip ?? 0);
  const end = start + Number(query.limit ?? query.k ?? 20);
  return { items: items.slice(start, end), total: items.length, next: end < items.length ? String(end) : null };
};

/** As the service would answer; filters by states and runs alone. */
export async function get(path, query = {}, signal) {
  if (path === "session") return { needed: false, open: true };
  if (path === "jobs") return [];
  if (path === "search") return page((await searched(query.q)).filter(wanted(query)), query);
  const units = /^runs\/([^/]+)\/units$/.exec(path);
  if (units) return page((await everything()).filter(wanted({ ...query, run: decodeURIComponent(units[1]) })), query);
  return load(slug(path, query), signal);
}
