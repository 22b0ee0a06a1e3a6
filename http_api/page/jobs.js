// Jobs in the works: those of this browser, and those of everybody where the server lists them.
import * as api from "./api.js";
import { announce, byId, element, seconds } from "./dom.js";

const STORED = "cyberimage.jobs";
const POLL = 1000; // ms between looks while something is in the works
const IDLE_POLL = 5000;
const cards = new Map();
let mine = JSON.parse(localStorage.getItem(STORED) || "[]");
let canList = true;
let onFinished = () => {};
let timer = 0;

export function startJobs(finished) {
  onFinished = finished;
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  tick();
}

export function track(id) {
  remember([id, ...mine.filter((other) => other !== id)]);
  tick();
}

function remember(ids) {
  mine = ids.slice(0, 40);
  localStorage.setItem(STORED, JSON.stringify(mine));
}

async function tick() {
  clearTimeout(timer);
  if (!document.hidden) {
    const ids = await activeIds();
    await Promise.all(ids.map(look));
    await queueLine();
  }
  byId("jobs-section").hidden = cards.size === 0;
  timer = setTimeout(tick, cards.size ? POLL : IDLE_POLL);
}

async function activeIds() {
  const ids = [...mine];
  for (const state of canList ? ["processing", "pending"] : []) {
    try {
      for (const job of (await api.activeJobs(state)).jobs) ids.push(job.id);
    } catch (error) {
      if (error.status === 404) canList = false;
    }
  }
  return [...new Set(ids)].slice(0, 24);
}

async function look(id) {
  let status;
  try {
    status = await api.status(id);
  } catch (error) {
    if (error.status === 404) forget(id);
    return;
  }
  if (status.status === "completed") {
    if (mine.includes(id)) { announce(status.message); onFinished(status); }
    return forget(id);
  }
  if (status.status === "failed" && !mine.includes(id)) return forget(id);
  draw(status);
}

function forget(id) {
  remember(mine.filter((other) => other !== id));
  cards.get(id)?.card.remove();
  cards.delete(id);
}

function draw(status) {
  const parts = cards.get(status.id) || newCard(status);
  const { step, total_steps: total, image_number: image = 1, total_images: images = 1 } = status.progress;
  const eta = status.eta_seconds ? `, ${seconds(status.eta_seconds)} left` : "";
  parts.text.textContent = status.message + (status.status === "failed" ? "" : eta);
  parts.card.classList.toggle("failed", status.status === "failed");
  parts.bar.hidden = status.status === "failed";
  if (status.status === "processing") parts.bar.value = Math.min(1, ((image - 1) * total + step) / (images * total));
  else parts.bar.removeAttribute("value");
  parts.cancel.textContent = status.status === "failed" ? "Dismiss" : "Cancel";
}

function newCard(status) {
  const text = element("span");
  const bar = element("progress", { max: 1 });
  bar.setAttribute("aria-label", `Progress of: ${status.prompt}`);
  const cancel = element("button", { type: "button", className: "quiet", textContent: "Cancel" });
  const card = element("li", { className: "job" },
    element("p", { className: "job-prompt", textContent: status.prompt }), bar,
    element("div", { className: "job-foot" }, text, cancel));
  cancel.addEventListener("click", () => dismiss(status.id, cancel));
  const parts = { card, text, bar, cancel };
  cards.set(status.id, parts);
  byId("jobs").append(card);
  return parts;
}

async function dismiss(id, button) {
  button.disabled = true;
  if (button.textContent === "Cancel") {
    try {
      await api.cancel(id);
    } catch (error) {
      cards.get(id).text.textContent = error.message;
      button.disabled = false;
      return;
    }
  }
  forget(id);
  byId("jobs-section").hidden = cards.size === 0;
  announce("The job is off the list.");
}

async function queueLine() {
  try {
    const { pending, processing } = await api.queue();
    byId("queue-line").textContent = pending + processing ? `${processing} running, ${pending} waiting` : "";
    byId("runner").textContent = processing ? "Drawing" : pending ? `${pending} waiting` : "Ready";
    byId("banner").hidden = true;
  } catch (error) {
    byId("banner").textContent = error.status ? error.message : "The server cannot be reached. This page tries again by itself.";
    byId("banner").hidden = false;
  }
}
