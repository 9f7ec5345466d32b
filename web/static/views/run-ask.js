// Forms that begin a job: explain units, or score explanations that are there.

import { html, useState } from "../vendor/preact.js";
import { post } from "../api.js";
import { Choice, Problem } from "../parts/bits.js";

const SCORERS = {
  tokens: ["detection", "fuzzing", "intervention"],
  images: ["detection", "fuzzing"],
  stimuli: ["detection"],
};

export function Ask({ base, measure, onBegun }) {
  const [kind, setKind] = useState("label");
  const [units, setUnits] = useState("sample:24");
  const [effort, setEffort] = useState("");
  const [more, setMore] = useState("");
  const offered = SCORERS[measure] ?? ["detection"];
  const [scorers, setScorers] = useState(offered);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const named = [...new Set([...scorers, ...more.split(/[\s,]+/).filter(Boolean)])];
  const begin = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const body = { units, scorers: named, ...(kind === "label" && effort ? { effort } : {}) };
      const job = await post(`${base}/${kind}`, body);
      onBegun(job.id);
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  return html`<form class="ask" onSubmit=${begin}>
    <${Choice} label="What is asked for" value=${kind} onChange=${setKind} options=${[["label", "explain and score"], ["score", "score again"]]} />
    <label>Units <input type="text" required spellcheck=${false} value=${units} onInput=${(event) => setUnits(event.target.value)} aria-describedby="units-help" /></label>
    <p class="dim" id="units-help">all, sample:24, or indices such as 0-99,512</p>
    <fieldset><legend>Scorers</legend>
      ${offered.map((name) => html`<label class="inline" key=${name}><input type="checkbox" checked=${scorers.includes(name)}
        onChange=${() => setScorers(scorers.includes(name) ? scorers.filter((one) => one !== name) : [...scorers, name])} /> ${name}</label>`)}
      <label class="inline">others <input type="text" spellcheck=${false} size="14" value=${more} onInput=${(event) => setMore(event.target.value)} /></label>
    </fieldset>
    ${kind === "label" && html`<label>Effort <select value=${effort} onChange=${(event) => setEffort(event.target.value)}>
      <option value="">as usual</option>${["low", "medium", "high"].map((each) => html`<option value=${each}>${each}</option>`)}</select></label>`}
    <button type="submit" class="primary" disabled=${busy || !named.length || !units.trim()}>${busy ? "Asking…" : "Begin"}</button>
    <${Problem} error=${error} />
  </form>`;
}
