// The explorer: the frame around its views.

import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";
import { back, get, post, remove } from "./api.js";
import { site } from "./site.js";
import { useKeys } from "./hooks.js";
import { Loading, Problem } from "./parts/bits.js";
import { useRoute } from "./router.js";
import { said, trouble } from "./store.js";
import { Search } from "./views/search.js";

const VIEWS = {
  compare: () => import("./views/compare.js").then((view) => view.Compare),
  run: () => import("./views/run.js").then((view) => view.Run),
  runs: () => import("./views/runs.js").then((view) => view.Runs),
  unit: () => import("./views/unit.js").then((view) => view.Unit),
};
const loaded = {};

const KEYS = [
  ["/", "to the search box"],
  ["j, ↓", "next result"],
  ["k, ↑", "result before"],
  ["Enter", "open the result"],
  ["n, →", "next unit, on a unit's page"],
  ["p, ←", "previous unit"],
  ["Tab, then ← →", "a context's activations, token by token"],
  ["Esc", "close this; leave a box"],
  ["?", "these keys"],
];

/** A view whose modules come when it is first shown: the search, which most people see first, does not wait for them. */
function Lazy({ view, ...props }) {
  const [, draw] = useState(0);
  const [error, setError] = useState(null);
  const load = () => {
    setError(null);
    VIEWS[view]().then((found) => { loaded[view] = found; draw((n) => n + 1); }, setError);
  };
  useEffect(() => { if (!loaded[view]) load(); }, [view]);
  if (loaded[view]) return html`<${loaded[view]} ...${props} />`;
  return error ? html`<${Problem} error=${error} again=${load} />` : html`<${Loading} />`;
}

function View({ route }) {
  const { name, rest, query } = route;
  if (name === "") return html`<${Search} query=${query} />`;
  if (name === "unit" && rest.length > 1) return html`<${Lazy} view=${name} key=${rest.join("/")} run=${rest[0]} unit=${rest.slice(1).join("/")} />`;
  if (name === "compare") return html`<${Lazy} view=${name} query=${query} />`;
  if (name === "run" && rest.length === 1) return html`<${Lazy} view=${name} key=${rest[0]} run=${rest[0]} />`;
  if (name === "runs") return html`<${Lazy} view=${name} />`;
  return html`<main><h1>Nothing here</h1><p>This address leads nowhere. <a href="#/">Search</a></p></main>`;
}

function App() {
  const route = useRoute();
  const stopped = trouble.use();
  const words = said.use();
  const [helped, setHelped] = useState(false);
  const [session, setSession] = useState(null);
  useEffect(() => {
    get("session").then((of) => {
      setSession(of);
      if (of.needed && !of.open) trouble.set("token");
    }, () => {});
  }, [stopped === ""]);
  useKeys((event, typing) => {
    if (event.key === "Escape") return typing && document.activeElement.blur();
    if (typing) return;
    if (event.key === "?") setHelped(true);
    if (event.key === "/") {
      event.preventDefault();
      if (route.name !== "") location.hash = "#/";
      setTimeout(() => document.getElementById("query")?.focus(), route.name === "" ? 0 : 80);
    }
  });
  const tab = (to, name, text) => html`<a href=${to} aria-current=${route.name === name ? "page" : undefined}>${text}</a>`;
  const leave = () => remove("session").then(() => trouble.set("token"));
  return html`
    <a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); document.querySelector("main")?.focus(); }}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/"><img src="static/icon.svg" alt="" width="22" height="22" />neurogloss</a>
      <nav aria-label="Views">${tab("#/", "", "Search")}${tab("#/runs", "runs", "Runs")}${site === null && tab("#/compare", "compare", "Compare")}</nav>
      <span class="spring"></span>
      ${session?.needed && session?.open && !stopped && html`<button type="button" class="quiet" onClick=${leave}>Sign out</button>`}
      <button type="button" class="quiet" aria-label="Keys" title="Keys" onClick=${() => setHelped(true)}>?</button>
    </header>
    ${stopped === "offline" && html`<${Offline} />`}
    <div id="content">${stopped === "token" ? html`<${Token} />` : html`<${View} route=${route} />`}</div>
    <div class="hidden" role="status" aria-live="polite">${words}</div>
    ${helped && html`<${Help} onClose=${() => setHelped(false)} />`}`;
}

/** Says that nobody answers, and asks every few seconds whether somebody does. */
function Offline() {
  const [left, setLeft] = useState(3);
  useEffect(() => {
    const timer = setInterval(() => setLeft((now) => now - 1), 1000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (left > 0) return;
    setLeft(5);
    get("session").catch(() => {});
  }, [left]);
  return html`<div class="banner" role="alert">The service does not answer. Is <code>neurogloss serve</code> running?
    <span aria-hidden="true">Trying again in ${Math.max(0, left)} s.</span>
    <button type="button" onClick=${() => setLeft(0)}>Try now</button></div>`;
}

function Token() {
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  const open = async (event) => {
    event.preventDefault();
    try {
      await post("session", { token });
      back();
    } catch (problem) {
      setError(problem.message);
    }
  };
  return html`<main class="gate"><form class="card" onSubmit=${open}>
    <h1>This service asks for a token</h1>
    <label>Token <input type="password" autocomplete="current-password" autofocus required value=${token} onInput=${(event) => setToken(event.target.value)} /></label>
    <button type="submit" class="primary">Open</button>
    ${error && html`<p class="problem" role="alert">${error}</p>`}
  </form></main>`;
}

function Help({ onClose }) {
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="keys">
    <h2 id="keys">Keys</h2>
    <dl class="keys">${KEYS.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
    <button type="button" autofocus onClick=${() => dialog.current.close()}>Close</button>
  </dialog>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
