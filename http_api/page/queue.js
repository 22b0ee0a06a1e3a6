// The line that says who draws and what waits. It opens to the list of waiting jobs, whose turns can be changed.
import * as api from "./api.js";
import { announce, byId, element, iconButton, makeOpener, plural, seconds, write } from "./dom.js";
import { may } from "./key.js";
import { onState, running, state, waiting } from "./state.js";
import { toast } from "./toast.js";
import { works } from "./works.js";

const STATES = {
  idle: "Ready", drawing: "Drawing", busy: "Drawing", loading: "Loading the model", warming_up: "Warming up", starting: "Starting",
  paused: "Paused", none: "Nobody draws",
};
const LISTED = 50; // rows
const rows = new Map(); // id of a job: its row
let openPanel = () => {};
let frame = 0;
let dragged = null; // { id, before }: the row being dragged, and the job before which it would be put

export function startQueue() {
  openPanel = makeOpener(byId("queue-open"), byId("queue-panel"), { onOpen: drawList });
  const openEnded = makeOpener(byId("ended-open"), byId("ended-panel"), {
    onOpen: () => import("./ended.js").then(({ list }) => list(), () => toast("The server cannot be reached.")),
  });
  for (const button of document.querySelectorAll("[data-closes]")) {
    button.addEventListener("click", () => { byId(button.dataset.closes).click(); byId(button.dataset.closes).focus(); });
  }
  byId("queue-open").addEventListener("click", () => openEnded(false));
  byId("ended-open").addEventListener("click", () => openPanel(false));
  byId("cancel-all").addEventListener("click", cancelAll);
  byId("pause").addEventListener("click", pause);
  byId("queue-list").addEventListener("click", pressed);
  byId("queue-list").addEventListener("keydown", keyed);
  byId("queue-list").addEventListener("pointerdown", beginDrag);
  onState(() => { frame ||= requestAnimationFrame(() => { frame = 0; drawLine(); drawList(); }); });
}

function drawLine() {
  const { queue, runner, problem } = state;
  const isPaused = Boolean(queue?.paused);
  const kind = problem ? "away" : isPaused && !running().length ? "paused" : runner?.state ?? "";
  byId("runner").dataset.state = kind;
  write(byId("runner"), problem ? "No connection" : STATES[kind] ?? "\u00a0");
  byId("runner").title = runner?.message ?? "";
  const number = queue ? queue.pending : 0;
  write(byId("queue-text"), problem ? "" : sentence(number, kind, isPaused));
  byId("queue-open").hidden = !number && byId("queue-panel").hidden;
  byId("cancel-all").hidden = number < 1;
  byId("pause").hidden = !isPaused && !number && !queue?.processing;
  write(byId("pause"), isPaused ? "Go on" : "Pause");
  byId("ended-open").hidden = !queue || !(queue.failed + queue.cancelled);
  write(byId("queue-title"), number ? `${number.toLocaleString("en")} waiting` : "Nothing waits");
}

// An estimate is told only where somebody draws.
function sentence(number, kind, isPaused) {
  const words = [];
  if (number) words.push(`${number.toLocaleString("en")} waiting`);
  const eta = state.queue?.eta_seconds;
  if (number && eta && kind !== "none" && !isPaused) words.push(seconds(eta));
  if (isPaused && kind !== "paused") words.push("paused after this one");
  if (kind === "none") words.push(state.runner?.message ?? "");
  return words.filter(Boolean).join(" · ");
}

function drawList() {
  if (byId("queue-panel").hidden || dragged) return;
  const jobs = waiting().slice(0, LISTED);
  const wanted = new Set(jobs.map(({ id }) => id));
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    const hadFocus = row.contains(document.activeElement);
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    rows.delete(id);
    if (hadFocus) (next?.querySelector("[data-does=cancel]") ?? byId("queue-title")).focus();
  }
  byId("queue-list").querySelector(".none")?.remove();
  jobs.forEach((job, at) => {
    const row = rows.get(job.id) ?? makeRow(job);
    rows.set(job.id, row);
    write(row.querySelector(".about"), about(job));
    row.querySelector("[data-does=up]").disabled = at === 0;
    row.querySelector("[data-does=down]").disabled = at === jobs.length - 1;
    const there = byId("queue-list").children[at];
    if (there !== row) keepingFocus(() => byId("queue-list").insertBefore(row, there ?? null));
  });
  const rest = (state.queue?.pending ?? 0) - jobs.length;
  if (!jobs.length || rest > 0) {
    const text = jobs.length ? `and ${rest.toLocaleString("en")} more` : "What waits is listed here.";
    byId("queue-list").append(element("li", { className: "none", textContent: text }));
  }
}

// Moving an element takes the keyboard from it.
function keepingFocus(move) {
  const had = document.activeElement;
  move();
  if (had !== document.activeElement && had?.isConnected) had.focus();
}

function about({ effective_settings: settings, model_id: model, status, message, attempts }) {
  const words = `${plural(settings.num_images, "picture")}, ${settings.width} × ${settings.height}, ${model}`;
  return status === "pending" && attempts ? `${words}. ${message}` : words;
}

function makeRow(job) {
  const does = (name, label, what) => {
    const button = iconButton(name, `${label}: ${job.prompt}`);
    Object.assign(button.dataset, { does: what });
    button.title = label;
    if (what !== "cancel") button.dataset.needs = "admin"; else button.dataset.needs = "submit";
    return button;
  };
  const handle = iconButton("grip", "", "handle");
  handle.title = "Drag to change the turn";
  handle.tabIndex = -1;
  handle.setAttribute("aria-hidden", "true");
  handle.dataset.needs = "admin";
  const row = element("li", {}, handle,
    element("div", {}, element("p", { className: "words", dir: "auto", textContent: job.prompt }), element("p", { className: "about" })),
    element("div", { className: "actions" }, does("up", "Earlier", "up"), does("down", "Later", "down"), does("close", "Cancel", "cancel")));
  row.dataset.job = job.id;
  return row;
}

async function pressed(event) {
  const button = event.target.closest("[data-does]");
  const id = button?.closest("li").dataset.job;
  if (!id) return;
  if (button.dataset.does === "cancel") await works.cancel(id);
  else await shift(id, button.dataset.does === "up" ? -1 : 1);
}

async function keyed(event) {
  const id = event.target.closest("li")?.dataset.job;
  if (!id || !event.altKey || !may("admin") || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  event.preventDefault();
  await shift(id, event.key === "ArrowUp" ? -1 : 1);
}

async function shift(id, by) {
  const ids = waiting().map((job) => job.id).filter((other) => other !== id);
  const at = waiting().findIndex((job) => job.id === id) + by;
  if (at < 0 || at > ids.length) return;
  await move(id, at === ids.length ? { to: "back" } : at === 0 ? { to: "front" } : { before: ids[at] });
  announce(`Now ${at === 0 ? "next" : `number ${at + 1}`} in turn.`);
}

// Shown at once; the stream tells what has become of it.
async function move(id, where) {
  const order = state.order.filter((other) => other !== id);
  const first = order.findIndex((other) => state.jobs.get(other)?.status === "pending");
  const at = where.before ? order.indexOf(where.before) : where.to === "front" && first >= 0 ? first : order.length;
  const before = state.order;
  state.order = [...order.slice(0, at), id, ...order.slice(at)];
  drawList();
  try {
    await api.move(id, where);
  } catch (error) {
    state.order = before;
    drawList();
    toast(error.message, { seconds: 8 });
  }
}

function beginDrag(event) {
  const handle = event.target.closest(".handle");
  if (!handle || event.button !== 0) return;
  event.preventDefault();
  const row = handle.closest("li");
  dragged = { id: row.dataset.job };
  row.classList.add("is-dragged");
  // Heard from the document: an element that is moved loses the pointer that it captured.
  const ending = new AbortController();
  const on = (name, listener) => document.addEventListener(name, listener, { signal: ending.signal });
  on("pointermove", ({ clientY }) => {
    const others = [...byId("queue-list").querySelectorAll("li[data-job]")].filter((other) => other !== row);
    const next = others.find((other) => { const box = other.getBoundingClientRect(); return clientY < box.top + box.height / 2; });
    byId("queue-list").insertBefore(row, next ?? byId("queue-list").querySelector(".none"));
  });
  const end = async (isDropped) => {
    ending.abort();
    row.classList.remove("is-dragged");
    const before = row.nextElementSibling?.dataset.job;
    const { id } = dragged;
    dragged = null;
    if (isDropped && waiting().some((job) => job.id === id)) await move(id, row.previousElementSibling ? (before ? { before } : { to: "back" }) : { to: "front" });
    drawList();
  };
  on("pointerup", () => end(true));
  on("pointercancel", () => end(false));
}

async function cancelAll() {
  const button = byId("cancel-all");
  button.disabled = true;
  try {
    let number = 0;
    for (let left = 1; left > 0;) {
      const answer = await api.cancelAll();
      number += answer.cancelled;
      left = answer.cancelled ? answer.left : 0;
    }
    toast(`${plural(number, "job")} cancelled.`, { label: "See them", run: () => byId("ended-open").click(), seconds: 8 });
  } catch (error) {
    toast(error.message, { seconds: 8 });
  } finally {
    button.disabled = false;
  }
}

async function pause() {
  try {
    await api.pause(!state.queue?.paused);
  } catch (error) {
    toast(error.message, { seconds: 8 });
  }
}
