"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const live = byId("live"), notice = byId("notice"), pause = byId("pause"), field = byId("value");
  let edited = false;

  // Makes `old` equal to `fresh` by the smallest changes, so that scrolling, selection and focus stay.
  function patch(old, fresh) {
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const olds = [...old.childNodes], news = [...fresh.childNodes];
    news.forEach((node, i) => (olds[i] ? patch(olds[i], node) : old.append(node)));
    olds.slice(news.length).forEach((node) => node.remove());
  }

  function say(text, bad) {
    notice.textContent = text;
    notice.className = bad ? "bad" : "good";
    notice.hidden = !text;
  }

  // Brings the controls up to the load in force, unless somebody is about to change it.
  function follow() {
    if (!field) return;
    const parallel = Number(live.dataset.parallel);
    byId("fewer").value = Math.max(parallel - 1, 0);
    byId("more").value = Math.min(parallel + 1, Number(field.max));
    if (!edited) field.value = parallel;
  }

  async function ask(url) {
    return fetch(url, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  }

  async function refresh() {
    try {
      const reply = await ask(live.dataset.source);
      if (!reply.ok) throw new Error(reply.status);
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      patch(live, fresh.getElementById("live"));
      follow();
      if (document.body.classList.contains("stale")) say("", false);
      document.body.classList.remove("stale");
    } catch {
      document.body.classList.add("stale");
      say("The client does not answer; these are its last figures.", true);
    }
  }

  async function change(form, button) {
    const query = new URLSearchParams(new FormData(form));
    if (button?.name) query.set(button.name, button.value);
    query.set("type", "json");
    try {
      const reply = await ask(`${form.getAttribute("action")}?${query}`);
      const { result, info } = await reply.json();
      say(`${result}${isNaN(result) ? ":" : ""} ${info}`, !reply.ok);
    } catch {
      say("The client does not answer.", true);
    }
    edited = false;
    await refresh();
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    change(event.target, event.submitter);
  });
  field?.addEventListener("input", () => { edited = true; });
  byId("refresh").addEventListener("click", (event) => {
    event.preventDefault();
    refresh();
  });
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", paused);
    pause.textContent = paused ? "Resume" : "Pause";
  });
  // To reload the answer to a form would be to send the form again.
  if (!notice.hidden) history.replaceState(null, "", "./");

  (async () => {
    for (;;) {
      await new Promise((done) => setTimeout(done, 2000));
      if (!document.hidden && pause.getAttribute("aria-pressed") !== "true") await refresh();
    }
  })();
})();
