// The list of a talk on Learn: go through it, put it in order, save it as a text of links, take such a text in.
const find = name => element.querySelector('.talk-' + name);
let talk = null;

const button = (text, label, does) => {
  const made = Object.assign(document.createElement('button'), {type: 'button', textContent: text, onclick: does});
  made.setAttribute('aria-label', label);
  return made;
};

const moved = (from, to) => {
  const views = talk.read(), [one] = views.splice(from, 1);
  if (to !== null) views.splice(to, 0, one);
  talk.write(views);
  const rows = find('views').children;
  (rows[Math.min(to ?? from, rows.length - 1)]?.querySelector('a') ?? find('paste')).focus();
};

const row = (view, at, views) => {
  const line = document.createElement('li');
  const link = Object.assign(document.createElement('a'), {textContent: view.title || view.address});
  link.href = talk.within(view.address) + '&slide=' + (at + 1);
  const up = button('↑', `Move up: ${view.title}`, () => moved(at, at - 1));
  const down = button('↓', `Move down: ${view.title}`, () => moved(at, at + 1));
  up.disabled = at === 0;
  down.disabled = at === views.length - 1;
  line.append(link, up, down, button('×', `Remove: ${view.title}`, () => moved(at, null)));
  return line;
};

const draw = () => {
  if (!element.isConnected) return window.removeEventListener('talk', draw);
  const views = talk.read();
  find('views').replaceChildren(...views.map(row));
  find('none').hidden = views.length > 0;
  for (const name of ['start', 'save']) find(name).disabled = !views.length;
};

// One view a line: its whole address, then its title.
const text = () => talk.read().map(view => `${new URL(view.address, document.baseURI)} ${view.title}\n`).join('');

const save = () => {
  const address = URL.createObjectURL(new Blob([text()], {type: 'text/plain;charset=utf-8'}));
  Object.assign(document.createElement('a'), {href: address, download: 'minillm-talk.txt'}).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};

const take = () => {
  const given = find('paste').value.split('\n').map(line => line.trim()).filter(Boolean);
  const read = given.map(line => {
    const [link, ...title] = line.split(/\s+/), address = talk.within(link);
    return address && {address, title: title.join(' ') || address};
  });
  const found = read.filter(one => one && one.address.includes('present='));
  talk.write([...talk.read(), ...found]);
  const left = given.length - found.length;
  find('said').textContent = `${found.length} added` + (left ? `; left out, as they are no links to a view: ${left}` : '');
  if (!left) find('paste').value = '';
};

// The scripts of the page's head may come later than this one.
(async () => {
  while (!window.MiniTalk) await new Promise(done => setTimeout(done, 30));
  talk = window.MiniTalk;
  find('start').onclick = talk.start;
  find('save').onclick = save;
  find('take').onclick = take;
  window.addEventListener('talk', draw);
  draw();
})();
