// One line that says what happened; how it came to an error is one click away. Text goes in by textContent only.

function render({ model, el }) {
  const root = document.createElement("div");
  const text = document.createElement("div");
  const more = document.createElement("details");
  const summary = document.createElement("summary");
  const trace = document.createElement("pre");
  summary.textContent = "Traceback";
  more.append(summary, trace);
  root.append(text, more);
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
  for (const name of ["kind", "text", "details"]) model.on(`change:${name}`, draw);
  draw();
  return () => {
    for (const name of ["kind", "text", "details"]) model.off(`change:${name}`, draw);
  };
}

export default dependable({ render });
