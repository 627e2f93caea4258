/* A blind vote by keys (pages/generate/form.py). Runs with `element`, inside the ballot, at hand.

   A digit chooses the best answer, Shift with it the pruned model's, Enter votes; not while something is typed, or while
   a button or a link has the focus, which Enter is for. */
const TYPED = "textarea, select, [contenteditable], input:not([type=radio]):not([type=checkbox])";
const pressed = event => {
  if (!element.isConnected) { document.removeEventListener("keydown", pressed); return; }
  if (!element.offsetParent || event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.(TYPED)) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  if (digit) document.querySelectorAll(`${event.shiftKey ? "#vote-pruned" : "#vote-best"} input`)[digit - 1]?.click();
  else if (event.key === "Enter" && !event.target.closest?.("button, a, summary")) document.querySelector("#vote").click();
};
document.addEventListener("keydown", pressed);
