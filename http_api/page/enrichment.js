// The style tiles: each has the words filled out in its style, and shows them before they take the place of one's own.
import * as api from "./api.js";
import { announce, byId, show } from "./dom.js";
import { toast } from "./toast.js";

let asked = 0; // the last answer counts, however many tiles were pressed

// `setPrompt(text)` puts words into the bar; `onError(error)` says what went wrong.
export function startEnrichment(setPrompt, onError) {
  byId("styles").addEventListener("click", (event) => {
    const tile = event.target.closest("button");
    if (tile) propose(tile, onError);
  });
  byId("proposal-use").addEventListener("click", () => use(setPrompt));
  byId("proposal-drop").addEventListener("click", () => { hideProposal(); byId("prompt").focus(); });
  byId("proposal").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { hideProposal(); byId("prompt").focus(); }
  });
}

export function hideProposal() {
  asked += 1;
  byId("proposal").hidden = true;
}

async function propose(tile, onError) {
  const words = byId("prompt").value;
  hideProposal();
  if (!words.trim()) {
    onError({ field: "prompt", message: "First say what the picture should show; a style is added to your words." });
    return;
  }
  const turn = asked;
  tile.setAttribute("aria-busy", "true");
  try {
    const answer = await api.enrich(words, tile.value);
    if (turn !== asked) return;
    byId("proposal-text").textContent = answer.enriched_prompt;
    byId("proposal-source").textContent = answer.source === "openai" ? "by the language model" : "";
    show(byId("proposal-warning"), (answer.warnings || []).join(" "));
    byId("proposal").hidden = false;
    byId("proposal-use").focus();
    announce(`Proposed words: ${answer.enriched_prompt}`);
  } catch (error) {
    if (turn === asked) onError(error);
  } finally {
    tile.removeAttribute("aria-busy");
  }
}

function use(setPrompt) {
  const own = byId("prompt").value;
  setPrompt(byId("proposal-text").textContent);
  hideProposal();
  byId("prompt").focus();
  toast("The words are filled out.", { label: "Back to mine", run: () => setPrompt(own), seconds: 12 });
}
