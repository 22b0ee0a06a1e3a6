// The page's beginning: wires the parts together.
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
