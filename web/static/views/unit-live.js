// With a live subject: a text read by the unit, prompts continued with it raised.

import { html, useState } from "../vendor/preact.js";
import { post } from "../api.js";
import { Foreign, Problem } from "../parts/bits.js";
import { Tokens } from "../parts/tokens.js";
import { number, percent } from "../text.js";

/** Sends a body when asked to: {data, error, busy, send}. */
function usePost(path) {
  const [state, setState] = useState({ data: null, error: null, busy: false });
  const send = async (body) => {
    setState((before) => ({ ...before, busy: true, error: null }));
    try {
      setState({ data: await post(path, body), error: null, busy: false });
    } catch (error) {
      setState({ data: null, error, busy: false });
    }
  };
  return { ...state, send };
}

export const Try = (props) => html`<section class="card" aria-label="Try it">
  <h2>Try it <span class="dim">on the live subject</span></h2>
  <${Read} ...${props} />
  <${Steer} ...${props} />
</section>`;

function Read({ base, unit, maximum }) {
  const [text, setText] = useState("");
  const { data, error, busy, send } = usePost(`${base}/activations`);
  return html`<form onSubmit=${(event) => { event.preventDefault(); if (text.trim()) send({ unit, text }); }}>
    <label>A text for it to read<textarea rows="2" maxlength="20000" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <button type="submit" disabled=${busy || !text.trim()}>${busy ? "Reading…" : "Read"}</button>
    <${Problem} error=${error} />
    <div aria-live="polite">${data && html`<${Tokens} example=${data} />
      <p class="dim">Peak ${number(data.peak)}${maximum ? `, ${percent(data.peak / maximum)} of the largest in the corpus` : ""}.</p>`}</div>
  </form>`;
}

function Steer({ base, unit }) {
  const [text, setText] = useState("I think that\nThe most important thing is");
  const [kl, setKl] = useState("1");
  const { data, error, busy, send } = usePost(`${base}/steer`);
  const prompts = text.split("\n").filter((line) => line.trim()).slice(0, 8);
  return html`<form onSubmit=${(event) => { event.preventDefault(); if (prompts.length) send({ unit, prompts, kl: Number(kl) }); }}>
    <label>Prompts to continue, one a line, eight at most<textarea rows="3" maxlength="8000" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <label class="inline">Strength: divergence of the next token <input type="number" min="-20" max="20" step="any" value=${kl} onInput=${(event) => setKl(event.target.value)} /> nats; below 0 it is lowered</label>
    <button type="submit" disabled=${busy || !prompts.length || !Number(kl)}>${busy ? "Steering…" : "Steer"}</button>
    <${Problem} error=${error} />
    <div aria-live="polite">${data && html`<p class="dim">Added ${number(data.strength)} along its direction; measured divergence ${number(data.kl)} nats.</p>
      <ul class="steered">${data.texts.map((each, i) => html`<li key=${i}>
        <p class="prompt"><${Foreign} text=${each.prompt} /></p>
        <dl><dt>as it is</dt><dd><${Foreign} text=${each.clean} /></dd><dt>${data.strength < 0 ? "lowered" : "raised"}</dt><dd class="raised"><${Foreign} text=${each.steered} /></dd></dl>
      </li>`)}</ul>`}</div>
  </form>`;
}
