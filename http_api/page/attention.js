// What tells of the work while somebody looks elsewhere: the tab's title, and a notification when a long job ends.
import { byId } from "./dom.js";
import { isMine } from "./pictures.js";
import { onState, running, state, waiting } from "./state.js";
import { toast } from "./toast.js";

const NAME = "CyberImage";
const LONG = 20; // s; a job that takes less is waited for
const begun = new Map(); // id of a job of this browser: when it was first seen, in ms
const canNotify = () => "Notification" in window && window.isSecureContext;

export function startAttention() {
  byId("notify").addEventListener("click", async () => {
    const answer = await Notification.requestPermission();
    byId("notify").hidden = true;
    toast(answer === "granted" ? "You are told when a long job is done." : "The browser does not allow it.");
  });
  onState((name, data) => {
    document.title = title();
    if (name === "job") follow(data);
    byId("notify").hidden = !canNotify() || Notification.permission !== "default" || !isLong();
  });
}

const isLong = () => (state.queue?.eta_seconds ?? 0) > LONG || running().some((job) => job.eta_seconds > LONG);

function title() {
  const [job] = running();
  const left = waiting().length + running().length;
  if (!left) return NAME;
  const { progress } = job ?? {};
  const done = progress?.total_steps ? ((progress.image_number || 1) - 1 + progress.step / progress.total_steps) / (progress.total_images || 1) : 0;
  return `${job ? `${Math.min(99, Math.round(100 * done))} %` : "Waiting"}${left > 1 ? ` (${left})` : ""} · ${NAME}`;
}

function follow(status) {
  const { id } = status;
  if (!isMine(id) && !begun.has(id)) return;
  if (!begun.has(id)) begun.set(id, Date.now());
  if (status.status !== "completed" && status.status !== "failed") return;
  const isWorthIt = Date.now() - begun.get(id) > LONG * 1000 && document.hidden && status.error_type !== "cancelled";
  begun.delete(id);
  if (isWorthIt && canNotify() && Notification.permission === "granted") notify(status);
}

async function notify(status) {
  const heading = status.status === "completed" ? "Your picture is done" : "It was not drawn";
  const options = { body: status.prompt, tag: status.id, icon: new URL("icon.svg", import.meta.url).href };
  const worker = await navigator.serviceWorker?.getRegistration();
  if (worker) { worker.showNotification(heading, options); return; } // phones know only this way
  const shown = new Notification(heading, options);
  shown.addEventListener("click", () => { window.focus(); shown.close(); });
}
