// A token's number is told below its text, for the mouse and for the keyboard: a text is one stop of the Tab key, and
// its tokens are gone through with the arrow keys.
const tell = token => {
  if (token) token.closest('.column').querySelector('.told').textContent = token.dataset.said;
};
element.addEventListener('mouseover', event => tell(event.target.closest('.token')));
element.addEventListener('focusin', event => tell(event.target.closest('.token')));
element.addEventListener('keydown', event => {
  const text = event.target.closest('.text'), step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!text || !step) return;
  const tokens = [...text.querySelectorAll('.token')], here = tokens.indexOf(event.target);
  const next = tokens[here < 0 && step < 0 ? tokens.length - 1 : here + step];
  if (next) { next.focus(); event.preventDefault(); }
});
