// Keeps a page up to date. What comes is HTML whose outermost elements have ids; each takes the
// place of the page's element of that id. <body> says where from: data-events for server-sent
// events, data-poll for what is fetched every two seconds instead, or where there are no events.
// data-page, there and in what comes, names what the page was made for: if it changes, it reloads.
// An element #frame in both, with data-run and data-frame, numbers what comes.
const live = (() => {
  const POLL_MS = 2000, AGAIN_MS = 30000, SILENCE_MS = 15000;
  const byId = (id) => document.getElementById(id);
  const { events, poll, page } = document.body.dataset;
  const notice = byId("notice"), refreshLink = byId("refresh"), hold = byId("hold");
  const followers = [];
  let source = null, held = false, refused = -Infinity, heard = performance.now();

  // Makes `old` equal to `fresh` by the smallest changes, so that scrolling, selection and focus
  // stay. Children with ids are told apart by these; whether <details> are open is the reader's.
  function patch(old, fresh) {
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    const own = old.nodeName === "DETAILS" ? "open" : "";
    for (const { name } of [...old.attributes])
      if (name !== own && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (name !== own && old.getAttribute(name) !== value) old.setAttribute(name, value);
    const news = [...fresh.childNodes], ids = new Set(news.map((node) => node.id).filter(Boolean));
    let at = old.firstChild;
    for (const node of news) {
      while (at?.id && !ids.has(at.id)) at = removed(at);
      const same = node.id ? sibling(at, node.id) : at?.id ? null : at;
      if (!same) {
        old.insertBefore(node, at);
        continue;
      }
      while (at !== same) at = removed(at);
      at = same.nextSibling;
      patch(same, node);
    }
    while (at) at = removed(at);
  }

  function sibling(node, id) {
    while (node && node.id !== id) node = node.nextSibling;
    return node;
  }

  function removed(node) {
    const next = node.nextSibling;
    node.remove();
    return next;
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const made = fresh.querySelector("[data-page]")?.dataset.page;
    if (page && made && made !== page) return location.replace("./");
    heard = performance.now();
    if (isOlder(fresh.getElementById("frame")?.dataset, byId("frame")?.dataset)) return;
    for (const part of [...fresh.body.children]) {
      const old = byId(part.id);
      if (old) patch(old, part);
    }
    if (document.body.classList.contains("stale")) say("");
    document.body.classList.remove("stale");
    followers.forEach((follow) => follow());
  }

  // What was asked for and what comes by itself may overtake each other.
  const isOlder = (next, now) =>
    next && now && next.run === now.run && Number(next.frame) < Number(now.frame);

  function say(text, bad) {
    notice.textContent = text;
    notice.className = bad ? "notice bad" : "notice good";
    notice.hidden = !text;
  }

  function lost() {
    if (document.body.classList.contains("stale")) return;
    document.body.classList.add("stale");
    say(document.body.dataset.lost, true);
  }

  const ask = (url) => fetch(url, { cache: "no-store", signal: AbortSignal.timeout(5000) });

  // Fetches what there is now.
  async function refresh() {
    try {
      const reply = await ask(poll);
      if (!reply.ok) throw new Error(reply.status);
      show(await reply.text());
    } catch {
      lost();
    }
  }

  // Does what a form of the page asks for, and tells what became of it.
  async function change(form, button) {
    const query = new URLSearchParams(new FormData(form));
    if (button?.name) query.set(button.name, button.value);
    query.set("type", "json");
    try {
      const reply = await ask(`${form.getAttribute("action")}?${query}`);
      const { result, info } = await reply.json();
      say(`${result}${isNaN(result) ? ":" : ""} ${info}`, !reply.ok);
    } catch {
      say("There is no answer.", true);
    }
    await refresh();
  }

  function listen() {
    heard = performance.now();
    source = new EventSource(events);
    source.addEventListener("panels", (event) => show(JSON.parse(event.data)));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {  // refused: too many are watching
        refused = performance.now();
        deafen();
      } else lost();  // the browser tries again by itself
    };
  }

  function deafen() {
    source?.close();
    source = null;
  }

  async function step() {
    if (document.hidden || held) return deafen();
    if (source) {
      if (performance.now() - heard > SILENCE_MS) lost();
    } else if (events && performance.now() - refused > AGAIN_MS) listen();
    else if (performance.now() - heard >= POLL_MS) await refresh();
  }

  refreshLink?.addEventListener("click", (event) => {
    event.preventDefault();
    refresh();
  });
  if (hold) {
    hold.hidden = false;
    hold.addEventListener("click", () => {
      held = !held;
      hold.setAttribute("aria-pressed", held);
      step();
    });
  }
  document.addEventListener("visibilitychange", step);
  // To reload the answer to a form would be to send the form again.
  if (!notice.hidden) history.replaceState(null, "", "./");
  (async () => {
    for (;;) {
      await step();
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  })();
  return { byId, change, followers, refresh, say, show, patch, ask };
})();
