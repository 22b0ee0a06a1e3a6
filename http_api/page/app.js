// The page's beginning: starts each part once, and is the only place that knows all of them.
//
// What the parts offer each other:
//
//   gallery.js  gallery   neighbours(id): promise of { previous, next }, ids in the order shown or null (loads more at the end)
//                         image(id): its GalleryImage or null;  update(image): show it as changed (favourite, labels)
//                         remove(ids): hides them at once, with an undo of 8 s;  onChange(listener): returns what ends it
//                         focus(id): the keyboard goes to its tile, or near it (after the viewer was closed)
//   bar.js      bar       fill(picture, { parts }): puts what a picture was made with into the bar, and sends nothing; `picture`
//                         is its metadata or GalleryImage; parts is "prompt", "seed", "size" or "all"
//                         submit(request): sends { model_id, prompt, negative_prompt, settings } as one press of Make does
//   viewer.js             startViewer({ gallery, bar }) and openImage(id): makes its own dialog, keeps `?image=` in the address
//                         (at the start and on popstate, too), and shows the list of keys under `?`
//   keys.js     KEYS      the keys of the page, [keys, meaning], for that list
//   key.js                send(address, options): every request;  may(scope): whether this key may "submit", "admin"
//   toast.js              toast(text, { label, run, seconds }): a message that goes by itself, with something to do about it
//   dom.js                byId, element, write, show, announce, icon(name), makeCloseable
//   offline.js            startOffline(): the service worker
import { address } from "./api.js";
import { loadModels, startComposer } from "./composer.js";
import { byId, makeCloseable, memory, show } from "./dom.js";
import { followFilters, refresh, startGallery } from "./gallery.js";
import { startJobs, track } from "./jobs.js";
import { startKey } from "./key.js";
import { followAddress, openImage, startViewer } from "./viewer.js";

const RETRY = 3000; // ms between attempts to reach the server at the start

function startTheme() {
  byId("theme").addEventListener("click", () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
    memory.write("cyberimage.theme", document.documentElement.dataset.theme);
  });
}

function startHelp() {
  makeCloseable(byId("help"));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("help-curl").textContent = `curl -X POST ${address("api/generate")} \\
  -H "Content-Type: application/json" \\
  -d '{"model_id": "demo", "prompt": "a castle on a hill"}'`;
}

async function modelsOnceReachable() {
  for (;;) {
    try {
      return await loadModels();
    } catch (error) {
      show(byId("banner"), error.status ? error.message : `${error.message} This page tries again by itself.`);
      await new Promise((resume) => { setTimeout(resume, RETRY); });
    }
  }
}

async function start() {
  startTheme();
  startHelp();
  startKey();
  startViewer();
  startComposer((answer) => track(answer.job_id));
  const catalog = await modelsOnceReachable();
  show(byId("banner"), "");
  const gallery = startGallery(openImage, catalog.models);
  startJobs(refresh);
  window.addEventListener("popstate", async () => { await followFilters(); await followAddress(); });
  await gallery;
  await followAddress();
}

start();
