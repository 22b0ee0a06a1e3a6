// What was loaded before can be looked at while the server cannot be reached: the browser's part of service-worker.js.
// A browser allows that only with https or on this machine; everything else works without.
import { address } from "./api.js";
import { element } from "./dom.js";
import { send } from "./key.js";

const AGAIN = 5000; // ms between attempts to reach the server
const AT_FIRST = 200; // addresses that are asked for once more
const TO_KEEP = /\/api\/(gallery|models|me|labels|get_image\/|image\/)/;
let notice = null;

export async function startOffline() {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => { if (data === "loaded-before") say(); });
  navigator.serviceWorker.controller?.postMessage("listening");
  if (document.readyState !== "complete") await new Promise((done) => { addEventListener("load", done, { once: true }); });
  const isFirst = !navigator.serviceWorker.controller;
  try {
    const registration = await navigator.serviceWorker.register(address("service-worker.js"), { scope: address("") });
    // After an upgrade: by itself a browser looks only once the old one has been idle for a while.
    if (!isFirst) registration.update().catch(() => {}); // offline, or the server is just being changed: the next visit looks
  } catch (error) {
    console.info("Nothing can be looked at offline:", error.message); // a browser may forbid it
    return;
  }
  if (isFirst) navigator.serviceWorker.addEventListener("controllerchange", keepWhatIsShown, { once: true });
}

// On the first visit much is loaded, or on its way, before anybody can keep it: it is asked for once more, most of it from
// the browser's own cache.
function keepWhatIsShown() {
  const seen = new Set();
  let asking = Promise.resolve();
  const observer = new PerformanceObserver((list) => {
    for (const { name, workerStart } of list.getEntries()) {
      if (workerStart || seen.has(name) || !TO_KEEP.test(name)) continue;
      seen.add(name);
      asking = asking.then(() => send(name)).then((answer) => answer.blob()).catch(() => observer.disconnect()); // offline already
    }
    if (seen.size > AT_FIRST) observer.disconnect();
  });
  observer.observe({ type: "resource", buffered: true });
}

function say() {
  if (notice) return;
  notice = element("p", { className: "banner offline", textContent: "Offline: what was loaded before is shown." });
  notice.setAttribute("role", "status");
  document.querySelector("main").before(notice);
  addEventListener("online", look);
  setTimeout(look, AGAIN);
}

// The page's own stream comes back by itself; this only takes the words away again.
async function look() {
  if (!notice) return;
  try {
    await fetch(address("health/live"), { cache: "no-store" });
  } catch {
    setTimeout(look, AGAIN);
    return;
  }
  removeEventListener("online", look);
  notice?.remove();
  notice = null;
}
