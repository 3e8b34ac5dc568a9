// One line that says what happened; how it came to an error is one click away. Text goes in by textContent only.

function render({ model, el }) {
  const root = document.createElement("div");
  const text = document.createElement("div");
  const more = document.createElement("details");
  const summary = document.createElement("summary");
  const trace = document.createElement("pre");
  summary.textContent = "Traceback";
  more.append(summary, trace);
  const work = document.createElement("div");
  const doing = document.createElement("span");
  const bar = document.createElement("progress");
  const stop = document.createElement("button");
  work.className = "slicelab-work";
  stop.type = "button";
  stop.className = "slicelab-button slicelab-cancel";
  stop.textContent = "Cancel";
  stop.onclick = () => model.send({ kind: "cancel" });
  bar.setAttribute("aria-label", "How much is done");
  work.append(doing, bar, stop);
  root.append(text, more, work);
  el.append(root);

  function draw() {
    const kind = model.get("kind");
    root.className = `slicelab slicelab-notice slicelab-notice-${kind}`;
    root.setAttribute("role", kind === "error" ? "alert" : "status");
    text.textContent = model.get("text");
    trace.textContent = model.get("details");
    more.hidden = !model.get("details");
    more.open = false;
  }
  function drawWork() {
    const share = model.get("share");
    work.hidden = !model.get("work");
    doing.textContent = share < 0 ? model.get("work") : `${model.get("work")} ${Math.round(100 * share)} %`;
    if (share < 0) bar.removeAttribute("value"); // how long it takes isn't known
    else bar.value = share;
  }
  const events = { kind: draw, text: draw, details: draw, work: drawWork, share: drawWork };
  for (const [name, act] of Object.entries(events)) model.on(`change:${name}`, act);
  draw();
  drawWork();
  return () => {
    for (const [name, act] of Object.entries(events)) model.off(`change:${name}`, act);
  };
}

export default dependable({ render });
