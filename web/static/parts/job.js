// Jobs: where one stands, and the list of them.

import { html, useEffect, useState } from "../vendor/preact.js";
import { remove } from "../api.js";
import { site } from "../site.js";
import { useEvents, useGet } from "../hooks.js";
import { Foreign, Problem } from "./bits.js";
import { count } from "../text.js";

const over = (job) => ["done", "failed", "cancelled"].includes(job?.state);

/** A job by its id, live: {data, error}. */
export function useJob(id) {
  const first = useGet(id ? `jobs/${id}` : null);
  const live = useEvents(id && first.data && !over(first.data) ? `jobs/${id}/events` : null, "job");
  // A browser reconnects to a stream that ended: what has ended is asked for once more, and listened to no longer.
  useEffect(() => { if (over(live)) first.again(); }, [live?.state]);
  return { data: live?.id === id ? live : first.data, error: first.error };
}

export function Progress({ job, onCancelled }) {
  const [error, setError] = useState(null);
  const cancel = () => remove(`jobs/${job.id}`).then(onCancelled ?? (() => {}), setError);
  const share = job.total ? job.done / job.total : null;
  return html`<div class=${`job ${job.state}`} role="group" aria-label=${`${job.kind} of ${job.run}`}>
    <p><b>${job.kind}</b> <span class="tag"><${Foreign} text=${job.run} /></span> <span class=${`state ${job.state}`}>${job.state}</span>
      ${job.total !== null && html`<span>${count(job.done)} of ${count(job.total)}</span>`}
      ${!over(job) && html`<button type="button" class="quiet" onClick=${cancel}>Cancel</button>`}</p>
    ${!over(job) && html`<progress aria-label="Progress" ...${share === null ? {} : { value: share }}></progress>`}
    ${job.message && html`<p class=${job.state === "failed" ? "wrong" : "dim"} aria-live="polite"><${Foreign} text=${job.message} /></p>`}
    <${Problem} error=${error} />
  </div>`;
}

/** Jobs of a run, the newest first; asked again while some are under way. */
export function Jobs({ run, newest }) {
  const answer = useGet("jobs");
  const jobs = (answer.data ?? []).filter((job) => job.run === run || job.run.split(", ").includes(run));
  useEffect(() => { if (newest) answer.again(); }, [newest]);
  const running = jobs.some((job) => !over(job));
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(answer.again, 1500);
    return () => clearInterval(timer);
  });
  if (site !== null || !jobs.length) return null;
  return html`<h3>Jobs</h3><ul class="plain">${jobs.map((job) => html`<li key=${job.id}><${Progress} job=${job} onCancelled=${answer.again} /></li>`)}</ul>`;
}
