// Where answers come from, and how a failure is told.

const meta = document.querySelector('meta[name="neurogloss-site"]');
/** Folder of a static export's answers; null where a service answers. */
export const site = meta ? meta.content.replace(/\/*$/, "/") : null;

/** What went wrong, in the words of the service. */
export class Refusal extends Error {
  constructor(status, { error = "error", message = "The service gave no reason." } = {}) {
    super(message);
    this.status = status;
    this.error = error;
  }
}
