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
//   offline.js            startOffline(): the service worker;  later.js loads it and the viewer once the page stands
import * as api from "./api.js";
import { bar, startBar, startModels } from "./bar.js";
import { byId, makeCloseable, memory, show } from "./dom.js";
import { changed, countImage, gallery, offerFilterModels, startGallery } from "./gallery.js";
import { allow, startKey, whenKeyChanges } from "./key.js";
import { openImage, showKeys, startLater } from "./later.js";
import { catalog } from "./models.js";
import { startQueue } from "./queue.js";
import { onState, running, waiting } from "./state.js";
import { startWorks, works } from "./works.js";

const RETRY = 3000; // ms between attempts to reach the server at the start
const THEME = "cyberimage.theme";

function startTheme() {
  const theme = memory.read(THEME) ?? "";
  for (const radio of byId("themes").querySelectorAll("input")) radio.checked = radio.value === theme;
  byId("themes").addEventListener("change", ({ target }) => useTheme(target.value));
  window.addEventListener("storage", ({ key, newValue }) => { if (key === THEME) useTheme(newValue ?? ""); });
}

// The system's colours where none are named.
function useTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
  memory.write(THEME, theme);
}

function startMenu() {
  byId("menu").addEventListener("click", (event) => { if (event.target.closest("button")) byId("menu").hidePopover(); });
  makeCloseable(byId("help"));
  byId("keys-open").addEventListener("click", showKeys);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("help-curl").textContent = `curl -X POST ${api.address("api/generate")} \\
  -H "Content-Type: application/json" \\
  -d '{"model_id": "demo", "prompt": "a castle on a hill"}'`;
}

function startKeys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select");
    if (isTyping || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const wanted = { "/": "search", n: "prompt" }[event.key];
    if (!wanted) return;
    event.preventDefault();
    byId(wanted).focus();
  });
}

async function untilReached(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (error.status) show(byId("banner"), error.message);
      await new Promise((resume) => { setTimeout(resume, RETRY); });
    }
  }
}

async function learnScopes() {
  const { scopes } = await untilReached(api.me);
  allow(scopes);
  changed();
}

function startState() {
  onState((name, problem) => { if (name === "problem") show(byId("banner"), problem); });
  untilReached(() => import("./stream.js")).then(({ startStream }) => startStream(() => waiting().length + running().length > 0));
}

startTheme();
startMenu();
startKeys();
startKey();
startBar(works);
startWorks(changed, countImage);
startQueue();
startState();
startGallery(openImage);
startLater({ gallery, bar });
whenKeyChanges(learnScopes);
learnScopes();
untilReached(startModels).then(() => { show(byId("banner"), ""); offerFilterModels(Object.keys(catalog.models)); });
