"use strict";
(() => {
  const SLOWEST_MS = 15000;

  /* copying */
  const show = (root) => root.querySelectorAll("button.copy").forEach((b) => { b.hidden = false; });
  const copyText = async (node) => {
    try { await navigator.clipboard.writeText(node.textContent); return true; } catch { /* no secure context */ }
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const done = await copyText(button.previousElementSibling);
    const label = button.dataset.label ||= button.textContent;
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = label; }, 1500);
  });

  /* what moves: asked for again, and put in where it differs */
  const parts = () => [...document.querySelectorAll("[data-live]")];
  const seen = new Map(parts().map((part) => [part.dataset.live, part.innerHTML]));
  show(document);
  const main = document.querySelector("main[data-from]");
  if (!main) return;

  const isBusy = (part) => {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(part, true);
  };
  const keep = (part) => {
    const open = new Map([...part.querySelectorAll("details")].map((d, i) => [i, d.open]));
    const boxes = [...part.querySelectorAll("pre, .scroll")].map((box) => [
      box.scrollLeft, box.scrollTop, box.scrollTop + box.clientHeight >= box.scrollHeight - 4]);
    const focusable = "a, button, code, summary, pre";
    const focus = [...part.querySelectorAll(focusable)].indexOf(document.activeElement);
    return () => {
      part.querySelectorAll("details").forEach((d, i) => { if (open.has(i)) d.open = open.get(i); });
      part.querySelectorAll("pre, .scroll").forEach((box, i) => {
        if (!boxes[i]) return;
        box.scrollLeft = boxes[i][0];
        box.scrollTop = boxes[i][2] ? box.scrollHeight : boxes[i][1];
      });
      if (focus >= 0) part.querySelectorAll(focusable)[focus]?.focus({ preventScroll: true });
    };
  };
  const put = (next) => {
    let waits = false;
    const anchor = [...main.children].find((each) => each.getBoundingClientRect().bottom > 0);
    const top = anchor ? anchor.getBoundingClientRect().top : 0;
    for (const fresh of next.querySelectorAll("[data-live]")) {
      const name = fresh.dataset.live;
      const part = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
      if (!part || seen.get(name) === fresh.innerHTML) continue;
      if (isBusy(part)) { waits = true; continue; }
      seen.set(name, fresh.innerHTML);
      const restore = keep(part);
      part.replaceChildren(...fresh.cloneNode(true).childNodes);
      show(part);
      restore();
    }
    if (anchor && scrollY > 0) scrollBy(0, anchor.getBoundingClientRect().top - top);
    return waits;
  };

  const state = document.getElementById("link-state");
  let every = Number(main.dataset.every), failures = 0, hasEnded = false;
  const ask = async () => {
    try {
      const answer = await fetch(main.dataset.from, { cache: "no-store", credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const body = next.querySelector("main");
      if (!body) throw new Error("no page");
      document.title = next.title;
      const waits = put(body);
      hasEnded = !body.dataset.every && !waits;
      if (body.dataset.every) every = Number(body.dataset.every);
      failures = 0;
      state.textContent = "";
    } catch {
      failures += 1;
      if (failures > 1) state.textContent = "The server does not answer; trying again.";
    }
    if (hasEnded) { main.dataset.ended = "yes"; return; }
    setTimeout(ask, Math.min(every * 2 ** failures, Math.max(SLOWEST_MS, every)));
  };
  const begin = () => (document.hidden
    ? document.addEventListener("visibilitychange", begin, { once: true })
    : ask());
  setTimeout(begin, every);
})();
