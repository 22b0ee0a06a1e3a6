// What a job in the works looks like.
import { previewAddress } from "./api.js";
import { announce, byId, element, seconds, write } from "./dom.js";
import { showFetched } from "./picture.js";

const cards = new Map();

export const ids = () => [...cards.keys()];
export const isShown = (id) => cards.has(id);

// `actions` are functions of the job's id: cancel, retry, dismiss.
export function draw(status, actions) {
  const parts = cards.get(status.id) || newCard(status, actions);
  const isFailed = status.status === "failed";
  const isRunning = status.status === "processing";
  const { step, total_steps: total, image_number: image = 1, total_images: images = 1 } = status.progress;
  const eta = status.eta_seconds && !isFailed ? `, ${seconds(status.eta_seconds)} left` : "";
  const which = images > 1 ? `Image ${image} of ${images}: step` : "Step";
  const words = status.progress.generating ? `${which} ${step}/${total}` : status.message;
  if (isFailed && !parts.card.classList.contains("failed")) announce(`A job failed. ${status.message}`);
  write(parts.text, words + eta);
  parts.card.classList.toggle("failed", isFailed);
  parts.card.classList.toggle("running", isRunning);
  parts.bar.hidden = parts.frame.hidden = !isRunning;
  parts.bar.value = Math.min(1, ((image - 1) * total + step) / (images * total));
  parts.cancel.hidden = isFailed;
  parts.retry.hidden = parts.dismiss.hidden = !isFailed;
  preview(parts, status.preview_url);
}

async function preview(parts, url) {
  if (!url || parts.url === url) return;
  parts.url = url;
  if (await showFetched(parts.preview, previewAddress(url))) parts.preview.hidden = false;
}

export function say(id, text) {
  if (cards.has(id)) write(cards.get(id).text, text);
}

export function remove(id) {
  const card = cards.get(id)?.card;
  cards.delete(id);
  if (card?.contains(document.activeElement)) byId("jobs-title").focus();
  card?.remove();
  byId("jobs-section").hidden = cards.size === 0;
}

// Moves only cards that lie in the wrong place, so that the focus stays where it is.
export function arrange(order) {
  order.filter((id) => cards.has(id)).forEach((id, place) => {
    const { card } = cards.get(id);
    const there = byId("jobs").children[place];
    if (there !== card) byId("jobs").insertBefore(card, there ?? null);
  });
  byId("jobs-section").hidden = cards.size === 0;
}

export function bringIntoView(id) {
  cards.get(id).card.scrollIntoView({ block: "nearest" });
}

function newCard(status, actions) {
  const text = element("span");
  const picture = element("img", { className: "job-preview", alt: "", hidden: true });
  const frame = element("div", { className: "job-frame" }, picture);
  const bar = element("progress", { max: 1 });
  bar.setAttribute("aria-label", `Progress of: ${status.prompt}`);
  const button = (label, action) => {
    const made = element("button", { type: "button", className: "quiet", textContent: label });
    made.setAttribute("aria-label", `${label}: ${status.prompt}`);
    made.addEventListener("click", () => action(status.id, made));
    return made;
  };
  const cancel = button("Cancel", actions.cancel);
  const retry = button("Try again", actions.retry);
  const dismiss = button("Dismiss", actions.dismiss);
  const card = element("li", { className: "job" }, frame,
    element("div", { className: "job-body" },
      element("p", { className: "job-prompt", textContent: status.prompt }), bar,
      element("div", { className: "job-foot" }, text, element("span", { className: "job-actions" }, cancel, retry, dismiss))));
  const parts = { card, text, bar, frame, preview: picture, cancel, retry, dismiss, url: "" };
  cards.set(status.id, parts);
  byId("jobs").append(card);
  return parts;
}
