// The place of what was not drawn: jobs that failed or were cancelled, what is known of why, and another try.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { onState, state } from "./state.js";
import { toast } from "./toast.js";
import { works } from "./works.js";

let seen = ""; // the counts of the last listing

onState((name) => {
  if (name === "queue" && !byId("ended-panel").hidden && seen !== counts()) list();
});

const counts = () => `${state.queue?.failed} ${state.queue?.cancelled}`;

export async function list() {
  seen = counts();
  try {
    const { jobs } = await api.endedJobs();
    byId("ended-list").replaceChildren(...jobs.map(row));
  } catch (error) {
    byId("ended-list").replaceChildren(element("li", { className: "none", textContent: error.message }));
  }
}

function row(job) {
  const when = new Date(job.completed_at ?? job.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const why = job.error_type === "cancelled" ? "Cancelled" : job.error_message ?? "It failed for an unknown reason";
  const again = element("button", { type: "button", className: "secondary", textContent: "Try again" });
  again.setAttribute("aria-label", `Try again: ${job.prompt}`);
  again.dataset.needs = "submit";
  again.addEventListener("click", async () => {
    again.disabled = true;
    try {
      await works.retry(job.id, job);
      toast("In the queue again.");
    } catch (error) {
      toast(error.message, { seconds: 8 });
    } finally {
      again.disabled = false;
    }
  });
  return element("li", {}, element("span"),
    element("div", {}, element("p", { className: "words", dir: "auto", textContent: job.prompt }),
      element("p", { className: "about", textContent: `${why} · ${when}` })),
    element("div", { className: "actions" }, again));
}
