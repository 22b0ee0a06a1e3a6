// Jobs in the works: those of this browser, and those of everybody where the server lists them.
// The first of them are followed through their event streams; a round now and then finds what else there is.
import * as api from "./api.js";
import * as cards from "./cards.js";
import { announce, byId, memory, show, write } from "./dom.js";
import { follow } from "./events.js";

const STORED = "cyberimage.jobs";
const ROUND = 5000; // ms between rounds
const QUICK_ROUND = 1000; // where a stream is broken, the round is all there is
const HEALTH_ROUND = 10_000;
const BROKEN = 15_000; // ms until a broken stream is tried again
const SHOWN = 12; // cards; the rest of the queue is a number
const STREAMS = 2; // of one tab: a browser opens six connections to a server in all
const streams = new Map(); // job id: what ends the stream
const broken = new Map(); // job id: when its stream may be tried again
const latest = new Map(); // job id: its last status
let mine = stored();
let canList = true;
let onPictures = () => {};
let completed = null; // jobs, by the server's count
let timer = 0;
let isLooking = false;
let mustLookAgain = false;
let healthSeen = 0;
let isAway = false; // the server, at the last look
let scrollTo = "";

const actions = {
  cancel: (id, button) => act(button, id, () => api.cancel(id)),
  retry: (id, button) => act(button, id, () => again(id)),
  dismiss: (id) => forget(id),
};

function stored() {
  try {
    const ids = JSON.parse(memory.read(STORED) || "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

export function startJobs(pictures) {
  onPictures = pictures;
  document.addEventListener("visibilitychange", () => { if (document.hidden) followOnly([]); else round(); });
  round();
}

export function track(id) {
  remember([id, ...mine.filter((other) => other !== id)]);
  scrollTo = id;
  round();
}

function remember(ids) {
  mine = ids.slice(0, 40);
  memory.write(STORED, JSON.stringify(mine));
}

// One round at a time, and one timer: whoever calls meanwhile gets another round right after this one.
async function round() {
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
    timer = setTimeout(round, mustLookAgain ? 0 : broken.size && latest.size ? QUICK_ROUND : ROUND);
    mustLookAgain = false;
  }
}

async function lookAtAll() {
  const active = await activeIds();
  const ids = [...new Set([...mine, ...cards.ids(), ...active.slice(0, SHOWN)])];
  await Promise.all(ids.filter((id) => !streams.has(id)).map(look));
  const order = arranged();
  for (const [id, until] of broken) if (Date.now() > until || !latest.has(id)) broken.delete(id);
  if (!document.hidden) followOnly(order.filter((id) => latest.get(id).status !== "failed" && !broken.has(id)).slice(0, STREAMS));
  await queueLine();
  if (Date.now() - healthSeen > HEALTH_ROUND) await health();
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
  try {
    take(await api.status(id));
  } catch (error) {
    if (error.status === 404) forget(id);
  }
}

// Learn what a job's status is now.
function take(status) {
  const { id } = status;
  const before = latest.get(id);
  const isMine = mine.includes(id);
  if (status.status === "completed") {
    if (isMine) announce(`${status.message}: ${status.prompt}`);
    forget(id);
  } else if (status.status === "failed" && (!isMine || status.error_type === "cancelled")) {
    forget(id);
  } else {
    latest.set(id, status);
    cards.draw(status, actions);
    if (before && status.images.length > before.images.length) onPictures().catch(() => {}); // the next round tries again
  }
}

function forget(id) {
  if (mine.includes(id)) remember(mine.filter((other) => other !== id));
  latest.delete(id);
  cards.remove(id);
}

// Those that run, then those that wait, then those that failed.
function arranged() {
  const rank = ({ status, queue_position: position }) => (status === "processing" ? -1 : status === "failed" ? Infinity : position ?? 1e9);
  const statuses = [...latest.values()];
  statuses.sort((one, other) => (rank(one) > rank(other) ? 1 : rank(one) < rank(other) ? -1 : one.id < other.id ? -1 : 1));
  const order = statuses.map(({ id }) => id);
  cards.arrange(order);
  if (cards.isShown(scrollTo)) {
    cards.bringIntoView(scrollTo);
    scrollTo = "";
  }
  return order;
}

function followOnly(ids) {
  for (const [id, end] of streams) if (!ids.includes(id)) end();
  for (const id of ids) if (!streams.has(id)) stream(id);
}

async function stream(id) {
  const ending = new AbortController();
  streams.set(id, () => { streams.delete(id); ending.abort(); });
  try {
    await follow(id, (status) => { take(status); arranged(); }, ending.signal);
  } catch {
    if (ending.signal.aborted) return;
    broken.set(id, Date.now() + BROKEN);
  }
  streams.delete(id);
  round(); // the next in the queue, or what the stream would have told
}

async function act(button, id, action) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    announce(error.message);
    cards.say(id, error.message);
  } finally {
    button.disabled = false;
  }
  round();
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
    if (isAway || count !== completed) await onPictures();
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
  const words = { idle: "Ready", busy: "Drawing", loading: "Loading the model", warming_up: "Warming up", starting: "Starting" };
  write(byId("runner"), runner.ok ? words[runner.state] ?? "Ready" : runner.state === "paused" ? "Paused" : "No runner");
  show(byId("notice"), found.status === "ok" ? "" : found.message);
}
