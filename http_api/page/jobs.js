// Jobs in the works: those of this browser, and those of everybody where the server lists them.
import * as api from "./api.js";
import { announce, byId, element, memory, seconds, show, write } from "./dom.js";

const STORED = "cyberimage.jobs";
const POLL = 1000; // ms between looks while something is in the works
const IDLE_POLL = 5000;
const HEALTH_POLL = 10000;
const SHOWN = 12; // cards; the rest of the queue is a number
const cards = new Map();
let mine = stored();
let canList = true;
let onFinished = () => {};
let completed = null; // jobs, by the server's count
let timer = 0;
let isLooking = false;
let mustLookAgain = false;
let healthSeen = 0;
let isAway = false; // the server, at the last look
let scrollTo = "";

function stored() {
  try {
    const ids = JSON.parse(memory.read(STORED) || "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

export function startJobs(finished) {
  onFinished = finished;
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  tick();
}

export function track(id) {
  remember([id, ...mine.filter((other) => other !== id)]);
  scrollTo = id;
  tick();
}

function remember(ids) {
  mine = ids.slice(0, 40);
  memory.write(STORED, JSON.stringify(mine));
}

// One look at a time, and one timer: whoever calls meanwhile gets another look right after this one.
async function tick() {
  if (isLooking) {
    mustLookAgain = true;
    return;
  }
  clearTimeout(timer);
  isLooking = true;
  try {
    if (!document.hidden) await lookAtAll();
  } finally {
    isLooking = false;
    timer = setTimeout(tick, mustLookAgain ? 0 : cards.size ? POLL : IDLE_POLL);
    mustLookAgain = false;
  }
}

async function lookAtAll() {
  const active = await activeIds();
  const ids = [...new Set([...mine, ...cards.keys(), ...active.slice(0, SHOWN)])];
  const found = await Promise.all(ids.map(look));
  arrange(found.filter(Boolean));
  await queueLine();
  if (Date.now() - healthSeen > HEALTH_POLL) await health();
}

// In the order in which they will be drawn: the server lists the newest first.
async function activeIds() {
  const ids = [];
  for (const state of canList ? ["processing", "pending"] : []) {
    try {
      ids.push(...(await api.activeJobs(state)).jobs.map((job) => job.id).reverse());
    } catch (error) {
      if (error.status === 404) canList = false;
    }
  }
  return ids;
}

async function look(id) {
  let status;
  try {
    status = await api.status(id);
  } catch (error) {
    if (error.status === 404) forget(id);
    return null;
  }
  if (status.status === "completed") {
    if (mine.includes(id)) announce(`${status.message}: ${status.prompt}`);
    forget(id);
    return null;
  }
  if (status.status === "failed" && (!mine.includes(id) || status.error_type === "cancelled")) {
    forget(id);
    return null;
  }
  draw(status);
  return status;
}

function forget(id) {
  if (mine.includes(id)) remember(mine.filter((other) => other !== id));
  const card = cards.get(id)?.card;
  cards.delete(id);
  if (card?.contains(document.activeElement)) byId("jobs-title").focus();
  card?.remove();
  byId("jobs-section").hidden = cards.size === 0;
}

function draw(status) {
  const parts = cards.get(status.id) || newCard(status);
  const isFailed = status.status === "failed";
  const { step, total_steps: total, image_number: image = 1, total_images: images = 1 } = status.progress;
  const eta = status.eta_seconds && !isFailed ? `, ${seconds(status.eta_seconds)} left` : "";
  if (isFailed && !parts.card.classList.contains("failed")) announce(`A job failed. ${status.message}`);
  write(parts.text, status.message + eta);
  parts.card.classList.toggle("failed", isFailed);
  parts.bar.hidden = status.status !== "processing";
  parts.bar.value = Math.min(1, ((image - 1) * total + step) / (images * total));
  parts.cancel.hidden = isFailed;
  parts.retry.hidden = parts.dismiss.hidden = !isFailed;
}

// Moves only cards that lie in the wrong place, so that the focus stays where it is.
function arrange(statuses) {
  const rank = ({ status, queue_position: position }) => (status === "processing" ? -1 : status === "failed" ? Infinity : position ?? 1e9);
  statuses.sort((one, other) => (rank(one) > rank(other) ? 1 : rank(one) < rank(other) ? -1 : one.id < other.id ? -1 : 1));
  statuses.filter(({ id }) => cards.has(id)).forEach(({ id }, place) => {
    const { card } = cards.get(id);
    const there = byId("jobs").children[place];
    if (there !== card) byId("jobs").insertBefore(card, there ?? null);
  });
  byId("jobs-section").hidden = cards.size === 0;
  if (cards.has(scrollTo)) {
    cards.get(scrollTo).card.scrollIntoView({ block: "nearest" });
    scrollTo = "";
  }
}

function newCard(status) {
  const text = element("span");
  const bar = element("progress", { max: 1 });
  bar.setAttribute("aria-label", `Progress of: ${status.prompt}`);
  const button = (label, action) => {
    const made = element("button", { type: "button", className: "quiet", textContent: label });
    made.setAttribute("aria-label", `${label}: ${status.prompt}`);
    made.addEventListener("click", () => act(made, status.id, action));
    return made;
  };
  const cancel = button("Cancel", () => api.cancel(status.id));
  const retry = button("Try again", () => again(status.id));
  const dismiss = button("Dismiss", () => forget(status.id));
  const card = element("li", { className: "job" },
    element("p", { className: "job-prompt", textContent: status.prompt }), bar,
    element("div", { className: "job-foot" }, text, element("span", { className: "job-actions" }, cancel, retry, dismiss)));
  const parts = { card, text, bar, cancel, retry, dismiss };
  cards.set(status.id, parts);
  byId("jobs").append(card);
  return parts;
}

async function act(button, id, action) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    announce(error.message);
    if (cards.has(id)) write(cards.get(id).text, error.message);
  } finally {
    button.disabled = false;
  }
  tick();
}

async function again(id) {
  const answer = await api.retry(id);
  forget(id);
  track(answer.job_id);
}

async function queueLine() {
  try {
    const { pending, processing, completed: count } = await api.queue();
    write(byId("queue-line"), pending + processing ? `${processing} running, ${pending} waiting` : "");
    if (isAway) show(byId("banner"), "");
    if (isAway || count !== completed) await onFinished();
    isAway = false;
    completed = count;
  } catch (error) {
    isAway = true;
    show(byId("banner"), error.status ? error.message : "The server cannot be reached. This page tries again by itself.");
  }
}

// Whether a job sent now would be drawn; the runner is another program, and may be down while the server answers.
async function health() {
  let found;
  try {
    found = await api.health();
  } catch {
    return; // the banner says that the server is away
  }
  healthSeen = Date.now();
  const { runner = {} } = found.checks ?? {};
  const words = { idle: "Ready", busy: "Drawing", loading: "Loading the model", starting: "Starting" };
  write(byId("runner"), runner.ok ? words[runner.state] ?? "Ready" : runner.state === "paused" ? "Paused" : "No runner");
  show(byId("notice"), found.status === "ok" ? "" : found.message);
}
