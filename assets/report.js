// Draws one figure after the other, so that the page can be read meanwhile.
(async () => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.body.classList.toggle("is-dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();
  const pause = () => new Promise(done => setTimeout(done, 0));
  for (const host of document.querySelectorAll("[data-figure]")) {
    const value = document.getElementById(host.dataset.figure).textContent;
    await window.MiniHost(host, {value}, () => {}, () => {});
    await pause();
  }
  document.body.dataset.drawn = "all";
})();
