/* The knife: a sentence, groups to cut, and what the original and the cut model say next, side by side
   (pages/shell/knife_host.py). The one idea: the cut is a line of words, "3: heads 0; channels 5-20", kept here and sent
   whole with every question, so that undo is a list of lines and two readers never meet. What is clicked, and where what
   is cut is marked, is the X-ray of the page (assets/xray.js), for as long as the knife is open.

   MiniKnife(element, props, server, watch): props.value as JSON {run, problem}; server: knife_ask, knife_words,
   knife_keep, each of one record, which answer {error} where they refuse. */
(() => {
  const KINDS = ["heads", "channels"], PAUSE = 60;

  const read = text => {
    const cut = new Map();
    for (const piece of text.split(/[.\n]/).filter(part => part.trim())) {
      const [, layer, rest] = piece.match(/^\s*(\d+)\s*:(.*)$/s) ?? [];
      for (const part of rest?.split(";") ?? []) {
        const [, kind, spans] = part.match(/^\s*(heads|channels)\s(.*)$/s) ?? [];
        for (const span of spans?.split(",") ?? []) {
          const [, first, last] = span.match(/^\s*(\d+)(?:\s*[-–]\s*(\d+))?\s*$/) ?? [];
          for (let i = +first; i <= Math.min(+(last ?? first), +first + 1e6); i++) chosen(cut, +layer, kind).add(i);
        }
      }
    }
    return cut;
  };

  const chosen = (cut, layer, kind) => {
    if (!cut.has(layer)) cut.set(layer, {heads: new Set(), channels: new Set()});
    return cut.get(layer)[kind];
  };

  const spans = groups => {
    const found = [];
    for (const i of [...groups].sort((a, b) => a - b)) {
      const last = found.at(-1);
      last && i === last[1] + 1 ? last[1] = i : found.push([i, i]);
    }
    return found.map(([a, b]) => a === b ? a : `${a}-${b}`).join(", ");
  };

  const written = cut => [...cut].sort(([a], [b]) => a - b).map(([layer, kinds]) => {
    const parts = KINDS.filter(kind => kinds[kind].size).map(kind => `${kind} ${spans(kinds[kind])}`);
    return parts.length ? `${layer}: ${parts.join("; ")}` : "";
  }).filter(Boolean).join(". ");

  const listed = cut => [...cut].flatMap(([layer, kinds]) => KINDS.flatMap(kind => [...kinds[kind]].map(i => [layer, kind, i])));

  const xray = () => [...document.querySelectorAll("#xray, #xray *")].find(one => one.xray)?.xray;

  const percent = share => share >= 0.0995 ? `${Math.round(100 * share)} %` : share >= 0.001 ? `${(100 * share).toFixed(1)} %` : "< 0.1 %";
  const number = value => value == null ? "–" : value < 1000 ? value.toFixed(2) : Math.round(value).toLocaleString("en");
  const word = text => text.trim() || (text.includes("\n") ? "(new line)" : text ? "(space)" : "(no text)");
  const made = (name, words, more) => Object.assign(document.createElement(name), {textContent: words, ...more});

  const bar = (share, most, side) => {
    const cell = made("td", ""), line = made("i", "", {className: side});
    line.style.width = `${70 * share / most}%`;
    cell.append(line, made("span", percent(share)));
    return cell;
  };

  window.MiniKnife = (element, props, server, watch) => {
    const find = name => element.querySelector(".knife-" + name);
    const reader = Array.from(crypto.getRandomValues(new Uint32Array(2)), n => n.toString(36)).join("");
    const whole = element.querySelector("details");
    let known = {}, lines = [""], place = 0, asked = 0, waiting = null;

    const say = (words, kind = "") => Object.assign(find("said"), {textContent: words, className: `knife-said ${kind}`});

    /* Calls a function of the app's; null where it refuses, which is said. */
    const call = async (name, more) => {
      const found = await server[name]({run: known.run, reader, ...more}).catch(fault => ({error: `The app cannot be reached (${fault.message ?? fault}).`}));
      if (found?.error) say(found.error, "is-failed");
      return found?.error ? null : found;
    };

    const cutAll = (some, add) => {
      const cut = read(lines[place]);
      for (const [layer, kind, index] of some) chosen(cut, layer, kind)[add ? "add" : "delete"](index);
      become(written(cut));
    };

    /* Another cut, which undo takes back. */
    const become = line => {
      if (line !== lines[place]) lines = [...lines.slice(0, ++place), line];
      show();
    };

    const go = step => {
      place = Math.min(Math.max(place + step, 0), lines.length - 1);
      show();
    };

    const mark = () => {
      const sheet = xray();
      if (!sheet) return;
      sheet.mode = whole.open ? "select" : "look";
      sheet.mark(whole.open ? listed(read(lines[place])) : []);
    };

    const show = () => {
      if (!whole.open) return;
      mark();
      find("cut").value = lines[place];
      const tool = name => element.querySelector(`[data-do=${name}]`);
      tool("undo").disabled = place === 0;
      tool("redo").disabled = place === lines.length - 1;
      for (const name of ["reset", "restore", "keep"]) tool(name).disabled = !lines[place];
      clearTimeout(waiting);
      waiting = setTimeout(ask, PAUSE);
    };

    const ask = async () => {
      const sentence = find("sentence").value, mine = ++asked, start = performance.now();
      if (!known.run || known.problem) return;
      const slow = setTimeout(() => say("Working … The model is loaded on first use."), 500);
      const found = await call("knife_ask", {sentence, cut: lines[place]});
      clearTimeout(slow);
      if (mine !== asked || !found?.answer) return;
      const took = Math.round(performance.now() - start);
      drawBars(found.answer);
      const told = `Answered in ${took} ms. The live process holds ${(found.memory / 1e9).toFixed(2)} GB and ends after ${found.idle} quiet minutes.`;
      say([found.answer.note, found.left, told].filter(Boolean).join(" "), found.answer.note ? "is-new" : "");
      element.dispatchEvent(new CustomEvent("knife:answer", {detail: {milliseconds: took}, bubbles: true}));
      const whole = await call("knife_words", {number: found.number});
      if (mine === asked && whole?.answer) drawWords(whole.answer);
    };

    const drawBars = ({bars, kl, perplexity, tokens}) => {
      const most = Math.max(...bars.flatMap(([, before, after]) => [before, after]), 1e-9);
      find("answer").hidden = false;
      find("answer").classList.add("is-waiting");
      find("bars").tBodies[0].replaceChildren(...bars.map(([text, before, after]) => {
        const row = made("tr", "");
        row.append(made("th", word(text), {scope: "row", title: word(text)}), bar(before, most, "knife-before"), bar(after, most, "knife-after"));
        return row;
      }));
      const facts = [["KL of the next word", `${kl.toFixed(3)} nats`], ["perplexity of the sentence", `${number(perplexity[0])} → ${number(perplexity[1])}`], ["tokens", tokens]];
      find("numbers").replaceChildren(...facts.flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
    };

    const drawWords = ({words, parts}) => {
      let same = 0;
      while (same < words[0].length && words[0][same] === words[1][same]) same++;
      element.querySelectorAll("p.knife-words").forEach((line, side) => {
        const rest = made(side ? "mark" : "span", words[side].slice(same));
        line.replaceChildren(made("b", side ? "once cut: " : "original: "), words[side].slice(0, same), rest);
      });
      find("parts").textContent = parts >= 12 ? "The same twelve words." : parts ? `They part after ${parts} of 12 words.` : "They part at the first word.";
      find("answer").classList.remove("is-waiting");
    };

    const tools = {
      undo: () => go(-1),
      redo: () => go(1),
      reset: () => become(""),
      faded: () => {
        const cut = new Map();
        for (const [layer, kind, index] of xray()?.lowest() ?? []) chosen(cut, layer, kind).add(index);
        become(written(cut));
      },
      restore: async () => {
        say("Looking for the group that matters most …");
        const found = await call("knife_ask", {sentence: find("sentence").value, cut: lines[place], want: "restore"});
        if (!found?.answer) return;
        const {group, loss, tried} = found.answer;
        if (!group) return say(`None of the ${tried} most promising groups lowers the loss of this sentence when it comes back.`);
        cutAll([group], false);
        const name = `${group[1] === "heads" ? "head group" : "channel"} ${group[2]} of block ${group[0]}`;
        find("here").textContent = `Restored ${name}: the loss of the sentence falls from ${loss[0].toFixed(3)} to ${loss[1].toFixed(3)} nats a token (${tried} were tried).`;
      },
      keep: async () => {
        const found = await call("knife_keep", {cut: lines[place]});
        if (found) window.location = found.address;
      },
    };

    const opened = () => {
      const before = known.run;
      known = props.value ? JSON.parse(props.value) : {};
      Object.assign(find("problem"), {textContent: known.problem ?? "", hidden: !known.problem});
      if (known.run !== before) show();
    };

    element.addEventListener("click", event => tools[event.target.dataset?.do]?.());
    /* What happens on the X-ray, which is not inside this element. */
    const listen = (name, told) => {
      const heard = event => element.isConnected ? whole.open && told(event) : window.removeEventListener(name, heard);
      window.addEventListener(name, heard);
    };
    listen("xray:ready", mark);
    listen("xray:select", event => cutAll(event.detail.cells, event.detail.add));
    listen("keydown", event => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches("input, select")) return;
      event.preventDefault();
      go(event.shiftKey ? 1 : -1);
    });
    whole.addEventListener("toggle", () => whole.open ? show() : mark());
    find("cut").addEventListener("change", event => become(event.target.value.trim()));
    find("sentence").addEventListener("input", show);
    watch("value", opened);
    opened();
  };
})();
