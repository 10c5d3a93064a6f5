// The controls, and the details of a place.
(() => {
  const { byId, change, followers, show, ask } = live;
  const field = byId("value"), slider = byId("slider"), announce = byId("announce");
  const pause = document.querySelector(".pause"), resume = document.querySelector(".resume");
  let edited = false, said = byId("p-state").dataset.say, picked = null;

  // Brings the controls up to the load in force, unless somebody is about to change it.
  function follow() {
    const state = byId("p-state").dataset;
    byId("fewer").value = state.fewer;
    byId("more").value = state.more;
    if (!edited) {
      slider.max = state.top;
      for (const input of [field, slider]) if (input.value !== state.level) input.value = state.level;
    }
    const held = document.activeElement;
    pause.hidden = Boolean(state.paused);
    resume.hidden = !state.paused;
    if (held?.closest(".pause, .resume")?.hidden) (state.paused ? resume : pause).firstElementChild.focus();
    if (state.say !== said) announce.textContent = said = state.say;
    if (state.over) document.body.dataset.lost = "The run has ended; these are its last figures.";
  }

  slider.hidden = false;
  slider.addEventListener("input", () => {
    edited = true;
    field.value = slider.value;
  });
  field.addEventListener("input", () => {
    edited = true;
    slider.value = field.value;
  });
  document.addEventListener("submit", async (event) => {
    event.preventDefault();
    edited = false;
    await change(event.target, event.submitter);
  });

  // The details of the place that was picked stay up to date while they are shown.
  async function look(link) {
    try {
      const reply = await ask(`${link}&part=1`);
      if (reply.ok && picked?.link === link) show(await reply.text());
    } catch {
      // The panels tell that nobody answers.
    }
    return Boolean(byId("h-place"));
  }

  function close() {
    const place = byId("place");
    place.replaceChildren();
    place.hidden = true;
    byId(picked?.cell)?.firstElementChild.focus();
    picked = null;
  }

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a");
    if (link?.matches(".map .cell")) {
      event.preventDefault();
      picked = { link: link.getAttribute("href"), cell: link.parentElement.id, at: 0 };
      if (await look(picked.link)) byId("h-place").focus();
      else location.assign(link.href);
    } else if (link?.id === "close" && picked) {
      event.preventDefault();
      close();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && picked) close();
  });
  let frames = 0;
  followers.push(follow, () => {
    if (picked && ++frames % 2 === 0) look(picked.link);
  });
})();
