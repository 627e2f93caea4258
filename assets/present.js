/* One picture large, for a hall: ?present=ID shows the element of that id alone, letters 1.6 times as large, no controls.

   A talk is a list of such addresses in this browser's storage (key minillm-talk: [{address, title}], each relative to
   the app), gone through with the arrow keys, Page Up and Down (what a clicker sends), Home and End. ?slide=N says which
   of the talk is shown; without it the keys go through the pictures of the page. Escape leaves.

   MiniTalk: what the button "Add to talk" and the list on Learn (assets/talk.js) work with. Whatever an address in the list says, only its page and its
   options count: it never leads out of the app. */
(() => {
  const KEY = "minillm-talk", FIRST = 8000, EVERY = 60, MOST = 200;
  const options = () => new URL(location).searchParams;
  const named = one => one.closest('[id]:not([id^="html-"])');
  const pictures = () => [...document.querySelectorAll(".plot-figure:not(.plot-none), [data-picture]")]
    .filter(one => one.getClientRects().length).map(named).filter(Boolean);
  const heading = one => one.querySelector(".plot-heading, h1, h2, h3")?.textContent.trim() || document.title;

  /* An address inside this app, whatever host it was saved on; null where it is none. */
  const within = text => {
    try {
      const there = new URL(text.trim(), document.baseURI);
      if (!/^(https?|file):$/.test(there.protocol)) return null;
      const name = there.pathname.split("/").pop();
      return /^[\w.-]*$/.test(name) ? name + there.search : null;
    } catch { return null; }
  };

  const read = () => {
    try {
      const found = JSON.parse(localStorage.getItem(KEY));
      return Array.isArray(found) ? found.filter(one => typeof one?.address === "string" && within(one.address)) : [];
    } catch { return []; }
  };

  const write = views => {
    localStorage.setItem(KEY, JSON.stringify(views.slice(0, MOST)));
    window.dispatchEvent(new Event("talk"));
  };

  const go = changes => {
    const there = new URL(location);
    for (const [name, value] of Object.entries(changes)) value === null ? there.searchParams.delete(name) : there.searchParams.set(name, value);
    history.replaceState(history.state, "", there);
  };

  /* The picture a reader is looking at: the one whose middle is nearest to the window's. */
  const looked = () => {
    const away = one => {
      const box = one.getBoundingClientRect();
      return Math.abs((box.top + box.bottom) / 2 - innerHeight / 2);
    };
    return pictures().sort((a, b) => away(a) - away(b))[0];
  };

  const add = () => {
    const one = looked(), there = new URL(location);
    for (const name of ["slide", "lesson", "__theme"]) there.searchParams.delete(name);
    there.searchParams.set("present", one?.id ?? "page");
    write([...read(), {address: within(there.href), title: one ? heading(one) : document.title}]);
    return read().length;
  };

  const to = (views, number) => {
    const there = new URL(within(views[number].address), document.baseURI), theme = options().get("__theme");
    there.searchParams.set("slide", number + 1);
    if (theme) there.searchParams.set("__theme", theme);
    location.href = there;
  };

  let shown = null, before = null, aside = [];

  const redrawn = () => window.dispatchEvent(new Event("presented"));

  const leave = () => {
    document.body.classList.remove("presenting");
    document.querySelector("#present-foot")?.remove();
    shown?.classList.remove("is-presented");
    for (const one of aside) one.inert = false;
    before?.focus({preventScroll: true});
    [shown, before, aside] = [null, null, []];
    go({present: null, slide: null});
    redrawn();
  };

  const foot = () => {
    const said = document.querySelector("#present-foot") ?? document.body.appendChild(document.createElement("p"));
    const slide = Number(options().get("slide")), all = slide ? read().length : pictures().length;
    const place = slide || pictures().indexOf(shown) + 1;
    Object.assign(said, {id: "present-foot", textContent: `${place} / ${all}`});
    said.setAttribute("role", "status");
    said.setAttribute("aria-label", `Picture ${place} of ${all}. Arrow keys go on and back, Escape leaves.`);
  };

  const show = one => {
    before ??= document.activeElement;
    shown?.classList.remove("is-presented");
    for (const other of aside) other.inert = false;
    aside = [];
    for (let at = one; at !== document.body; at = at.parentElement) {
      for (const other of at.parentElement.children) if (other !== at && !other.inert) aside.push(other);
    }
    for (const other of aside) other.inert = true;
    document.body.classList.add("presenting");
    one.classList.add("is-presented");
    shown = one;
    one.tabIndex = -1;
    one.focus({preventScroll: true});
    foot();
    document.querySelector("#present-foot").inert = false;
    redrawn();
  };

  /* Whether what a picture is drawn from has come: a plot has its sheets then, an X-ray is a [data-picture]. */
  const drawn = one => one.querySelector(".main-svg, [data-picture]") || !one.querySelector(".plot-figure, .xray");

  /* The picture that the address asks for, once it is there; the page's first where there is none of that name. */
  const arrive = async () => {
    const asked = options().get("present");
    if (!asked) return;
    document.body.classList.add("presenting");
    const there = () => {
      const one = document.getElementById(asked);
      return one?.getClientRects().length && drawn(one) ? one : null;
    };
    for (let waited = 0; !there() && waited < FIRST; waited += EVERY) await new Promise(done => setTimeout(done, EVERY));
    while (document.querySelector("#title-bar") && !document.querySelector("#title-bar .is-open")) await new Promise(done => setTimeout(done, EVERY));
    const found = there() ?? pictures()[0];
    if (!options().get("present")) return;
    found ? show(found) : leave();
  };

  const STEPS = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -Infinity, End: Infinity};

  const pressed = event => {
    if (!document.body.classList.contains("presenting") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") leave();
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const slide = Number(options().get("slide")), views = read(), every = slide ? views : pictures();
    const now = slide ? slide - 1 : every.indexOf(shown), next = Math.min(Math.max(now + step, 0), every.length - 1);
    if (next === now || !every.length) return;
    if (slide) return to(views, next);
    go({present: every[next].id});
    show(every[next]);
  };

  window.MiniTalk = {
    read, write, within, add,
    start: () => { const views = read(); if (views.length) to(views, 0); },
    present: inner => { go({present: named(inner).id}); show(named(inner)); },
  };
  document.addEventListener("keydown", pressed, true);
  document.body ? arrive() : addEventListener("DOMContentLoaded", arrive);
})();
