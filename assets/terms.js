// Explains the app's words where they stand: labels, columns and figures' headings in which one occurs get a dotted
// line, and its line of the glossary (window.MiniTerms) on hover and focus. Attributes only: what a label holds belongs to whoever drew it.
(() => {
  const PLACES = "#page [data-testid=block-info], #page th, #page .plot-heading";
  const LONGEST = 60; // characters of a label; a sentence is no label
  const plural = { criterion: "criteria" };
  const forms = Object.keys(window.MiniTerms)
    .sort((a, b) => b.length - a.length)
    .map(term => [term, new RegExp(`\\b(${term}s?${plural[term] ? "|" + plural[term] : ""})\\b`, "i")]);

  const explain = place => {
    const text = place.textContent.trim();
    const found = text.length <= LONGEST && forms.find(([, form]) => form.test(text));
    const line = found ? `${found[0]}: ${window.MiniTerms[found[0]]}` : "";
    if (place.dataset.term === line || (!line && !place.dataset.term)) return;
    if (!line) return ["data-term", "aria-description", "tabindex"].forEach(name => place.removeAttribute(name));
    place.dataset.term = line;
    place.setAttribute("aria-description", line);
    place.tabIndex = 0;
  };

  let due = 0;
  const look = () => {
    due = 0;
    document.querySelectorAll(PLACES).forEach(explain);
  };
  const soon = () => { due ||= setTimeout(look, 200); };

  // One box for all, beside the word but within the window; Escape takes it away, as does leaving the word.
  const box = Object.assign(document.createElement("div"), { id: "term", hidden: true });
  box.setAttribute("aria-hidden", "true"); // read out as the label's description
  const show = place => {
    const at = place.getBoundingClientRect();
    box.textContent = place.dataset.term;
    box.hidden = false;
    box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${at.bottom + box.offsetHeight + 6 < innerHeight ? at.bottom + 4 : at.top - box.offsetHeight - 4}px`;
  };
  const over = event => {
    const place = event.target.closest?.("[data-term]");
    if (place) show(place);
    else if (event.type !== "pointerover" || !box.contains(event.target)) box.hidden = true;
  };

  // A focus may itself have scrolled to the word: the box goes along with it.
  const moved = () => {
    const held = document.activeElement?.closest("[data-term]");
    if (held && !box.hidden && box.textContent === held.dataset.term) show(held);
    else box.hidden = true;
  };

  const begin = () => {
    document.body.append(box);
    new MutationObserver(soon).observe(document.body, { childList: true, subtree: true, characterData: true });
    soon();
    document.addEventListener("pointerover", over);
    document.addEventListener("focusin", over);
    document.addEventListener("scroll", moved, true);
    document.addEventListener("keydown", event => { if (event.key === "Escape") box.hidden = true; });
  };
  document.body ? begin() : addEventListener("DOMContentLoaded", begin);
})();
