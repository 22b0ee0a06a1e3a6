// What was loaded before can be looked at while the server cannot be reached: the browser's part of service-worker.js.
// A browser allows that only with https or on this machine; everything else works without.
import { address } from "./api.js";
import { element } from "./dom.js";
import { send } from "./key.js";

const AGAIN = 5000; // ms between attempts to reach the server
const AT_FIRST = 200; // addresses that are kept on the first visit
const TO_KEEP = /\/api\/(gallery|models|me|labels|get_image\/|image\/)/;
let notice = null;

export async function startOffline() {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => { if (data.type === "loaded-before") say(); });
  if (document.readyState !== "complete") await new Promise((done) => { addEventListener("load", done, { once: true }); });
  const isFirst = !navigator.serviceWorker.controller;
  try {
    await navigator.serviceWorker.register(address("service-worker.js"), { scope: address("") });
  } catch (error) {
    console.info("Nothing can be looked at offline:", error.message); // a browser may forbid it
    return;
  }
  if (isFirst) navigator.serviceWorker.addEventListener("controllerchange", keepWhatIsShown, { once: true });
}

// On the first visit all was loaded before anybody could keep it; most comes from the browser's own cache now.
async function keepWhatIsShown() {
  const loaded = new Set(performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => TO_KEEP.test(name)));
  for (const name of [...loaded].slice(-AT_FIRST)) {
    try {
      await (await send(name)).blob();
    } catch {
      return; // offline already: what is kept by now is kept
    }
  }
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
