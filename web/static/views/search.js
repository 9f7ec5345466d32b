// Search as one types; without a query, all units to browse.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { segment } from "../api.js";
import { site } from "../site.js";
import { useDebounced, useGet, useKeys, useTitle } from "../hooks.js";
import { Loading, Problem } from "../parts/bits.js";
import { Filters, conditions } from "../parts/filters.js";
import { HitRow } from "../parts/hit.js";
import { VirtualList, useFeed, usePages, useRowHeight } from "../parts/list.js";
import { amend, link } from "../router.js";
import { lastList, said } from "../store.js";
import { plural } from "../text.js";

const WAYS = [["hybrid", "meaning and words"], ["dense", "meaning"], ["lexical", "words"], ["firing", "fires on this text"]];
const places = new Map(); // where one was in a list, by its address

export function Search({ query }) {
  useTitle("Search");
  const runs = useGet("runs");
  if (!runs.data) return runs.error ? html`<${Problem} error=${runs.error} again=${runs.again} />` : html`<${Loading} />`;
  if (!runs.data.length) return html`<p class="nothing">This service has no runs.</p>`;
  return html`<${Box} runs=${runs.data} query=${query} />`;
}

/** The query of the page's address as the parts of a search. */
const wanted = (query) => ({
  q: query.get("q") ?? "",
  by: query.get("by") ?? "hybrid",
  run: query.get("run") ?? "",
  layer: query.get("layer") ?? "",
  dictionary: query.get("dictionary") ?? "",
  state: query.getAll("state"),
  above: query.get("above") ?? "",
  least: query.get("least") ?? "",
  most: query.get("most") ?? "",
  where: query.get("where") ?? "",
  sort: query.get("sort") ?? "",
});

function Box({ runs, query }) {
  const asked = useMemo(() => wanted(query), [query.toString()]);
  const [typed, setTyped] = useState(asked.q);
  const settled = useDebounced(typed, 140);
  const change = (next) => amend(link("", [], { ...asked, ...next, by: (next.by ?? asked.by) === "hybrid" ? "" : next.by ?? asked.by }));
  useEffect(() => setTyped(asked.q), [asked.q]);
  useEffect(() => {
    if (settled === typed && settled !== asked.q) change({ q: settled });
  }, [settled]);
  const chosen = runs.find((run) => run.name === asked.run);
  const ways = WAYS.filter(([way]) => (way === "firing" ? runs.some((run) => run.live) : true));
  const firing = asked.by === "firing" && asked.q.trim();
  const results = { asked, runs, run: chosen ?? runs[0], several: runs.length > 1 && !chosen };
  return html`<main class="search">
    <h1 class="hidden">Search units</h1>
    <form class="query" role="search" onSubmit=${(event) => { event.preventDefault(); change({ q: typed }); }}>
      <input id="query" type="search" autocomplete="off" spellcheck=${false} maxlength="1000" autofocus
        placeholder=${asked.by === "firing" ? "A text; found are the units that fire on it" : "What do you look for? e.g. numbers in a list"}
        aria-label="Search units by what their explanations say" value=${typed} onInput=${(event) => setTyped(event.target.value)} />
      ${site === null && html`<select aria-label="Search by" value=${asked.by} onChange=${(event) => change({ by: event.target.value })}>
        ${ways.map(([way, text]) => html`<option value=${way}>${text}</option>`)}
      </select>`}
    </form>
    <${Filters} asked=${asked} runs=${runs} one=${Boolean(firing) || !asked.q.trim()} change=${change} />
    ${firing ? html`<${Firing} ...${results} />` : asked.q.trim() ? html`<${Found} ...${results} />` : html`<${Browse} ...${results} />`}
  </main>`;
}

function Found({ asked, runs, run, several }) {
  const query = {
    q: asked.q.trim(), by: asked.by === "hybrid" ? undefined : asked.by,
    run: several ? undefined : run.name, state: asked.state, where: conditions(asked),
  };
  const list = useFeed("search", query, 30);
  const words = `${plural(list.total, "unit")}${list.more ? " and more" : ""}, the nearest first`;
  return html`<${Results} list=${list} words=${words} several=${runs.length > 1} methods=${runs.some((each) => each.methods.length > 1)} nothing="No unit fits that." />`;
}

function Browse({ asked, runs, run }) {
  const query = { state: asked.state, where: conditions(asked), sort: asked.sort || bestFirst(run) };
  const list = usePages(`runs/${segment(run.name)}/units`, query);
  const words = `${plural(list.total, "unit")} of ${run.name}`;
  return html`<${Results} list=${list} words=${words} several=${false} methods=${run.methods.length > 1} nothing="No unit of ${run.name} fits that." />`;
}

/** By how far the first scorer's score lies above its floor; by unit where nothing was scored. */
function bestFirst(run) {
  const field = Object.keys(run.fields).find((name) => name === "detection.excess_low")
    ?? Object.keys(run.fields).find((name) => name.endsWith(".excess_low"));
  return field ? `-${field},unit` : "unit";
}

function Firing({ asked, run }) {
  const of = useGet(`runs/${segment(run.name)}/firing`, { text: asked.q, k: 50, where: conditions(asked, asked.state) });
  const items = (of.data ?? []).map((each) => ({
    run: run.name,
    label: each.label ?? { unit: each.unit, method: "", state: "", reason: "not labelled", explanation: null, scores: [] },
    density: null, similarity: null, share: each.share, same: 1, strip: each.example,
  }));
  const list = { total: items.length, item: (i) => items[i], ensure: () => {}, error: of.error, loading: of.loading, again: of.again };
  return html`<${Results} list=${list} words=${`${plural(items.length, "unit")} of ${run.name}, by the share of their largest activation`} nothing="No unit fires on that." />`;
}

function Results({ list, words, several, methods, nothing }) {
  const height = useRowHeight(108, 152);
  const handle = useRef({});
  const active = useRef(-1);
  const status = list.loading ? "Searching…" : list.total ? words : nothing;
  useEffect(() => { if (!list.loading && !list.error) said.set(status); }, [status, list.error]);
  useEffect(() => { active.current = -1; }, [list.loading]);
  useEffect(() => {
    const here = location.hash;
    const place = places.get(here);
    if (place !== undefined && list.total && !list.loading) {
      places.delete(here);
      scrollTo({ top: place });
    }
  }, [list.total, list.loading]);
  const leave = (i) => {
    places.set(location.hash, scrollY);
    const known = [];
    for (let k = Math.max(0, i - 200); k < Math.min(list.total, i + 200); k++) {
      const hit = list.item(k);
      if (hit) known.push({ run: hit.run, unit: hit.label.unit });
    }
    lastList.set(known);
  };
  useKeys((event, typing) => {
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (!step || (typing && (event.target.id !== "query" || event.key !== "ArrowDown")) || !list.total) return;
    event.preventDefault();
    const focused = document.activeElement?.closest?.("[data-i]");
    const at = (focused ? Number(focused.dataset.i) : active.current) + step;
    if (at < 0) return document.getElementById("query").focus();
    active.current = handle.current.show(typing ? 0 : at);
  });
  return html`<section aria-label="Results">
    <p class=${`status ${list.loading ? "busy" : ""}`}>${status}</p>
    <${Problem} error=${list.error} again=${list.again} />
    ${!list.error && list.total > 0 && html`<${VirtualList} list=${list} height=${height} label="Units" handle=${handle}>
      ${(hit, i) => html`<${HitRow} hit=${hit} several=${several} methods=${methods} onLeave=${() => leave(i)} />`}
    <//>`}
  </section>`;
}
