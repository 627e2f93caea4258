"""The frame's own scripts, as the browser is given them: what must hold before a page has opened, and around events.

HEAD goes into every page's head (`launch(head=…)`); the others run with an event (`js=…`), their arguments its inputs.
"""

INERT = """<script>
// Until a page has opened, its controls would act on what it shows at first: none can be used before.
new MutationObserver(() => {
  const body = document.querySelector('#body');
  if (body) body.inert = !document.querySelector('#title-bar .is-open');
}).observe(document, {childList: true, subtree: true});
</script>
<style>
/* Hidden, as Gradio has it, would make this what sticky parts stick to; a style sheet of ours would be prefixed. */
div.gradio-container { overflow: clip !important; }
/* Gradio's own navigation: it knows no groups (see `navigation`). */
.nav-holder { display: none; }
/* Outside of what Gradio lets a style sheet of ours reach. */
#term {
  background: #1f2430; border-radius: 6px; color: #fff; font: 0.85rem/1.45 system-ui, sans-serif;
  max-width: min(26rem, 90vw); padding: 0.5rem 0.7rem; position: fixed; z-index: 200;
}
</style>"""

SKIP = """<script>
{
  // Not by the address: the page has a base of its own, to which a bare #page would lead away.
  const skip = event => {
    event.preventDefault();
    const page = document.querySelector('#page');
    page.tabIndex = -1;
    page.focus();
  };
  const words = {href: '#page', className: 'skip', textContent: 'Skip to the page', onclick: skip};
  const add = () => document.querySelector('a.skip') ||
    document.body.prepend(Object.assign(document.createElement('a'), words));
  document.body ? add() : addEventListener('DOMContentLoaded', add);
}
</script>"""
"""The first stop of the Tab key: past the navigation."""

TITLE = """<script>
// How the page's job gets on, in the title of its tab: seen while another tab is open.
{
  let plain = '', ours = ''; // the page sets its own title late
  new MutationObserver(() => {
    if (document.title && document.title !== ours) plain = document.title;
    const job = document.querySelector('#title-bar .job-chip')?.dataset.title;
    ours = job ? `${job} · ${plain}` : plain;
    if (document.title !== ours) document.title = ours;
  }).observe(document, {childList: true, subtree: true});
}
</script>"""

HEAD = SKIP + INERT + TITLE

FRESH = """(...values) => {
    document.querySelectorAll('.toast-close').forEach(button => button.click());
    return values;
}"""
"""Takes away what was said of an earlier try, lest the answer to this one stand below it."""

FOLLOW = """(run) => {
    const here = new URL(window.location);
    if (run && here.searchParams.get('run') !== run) { here.searchParams.set('run', run); window.location = here; }
    return run;
}"""
"""Opens this page for the run that a job belongs to, where that is another one than the address says."""
