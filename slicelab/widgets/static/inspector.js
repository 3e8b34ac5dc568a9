// What is special about the selection: groups of lines, each with a bar for the selection and one for the rest.
// Text from data goes in by textContent only.

function render({ model, el }) {
  const root = make("section", "slicelab slicelab-inspector", el);
  root.setAttribute("aria-label", "What is special about the selection");
  const body = make("div", "", root);
  const button = make("button", "slicelab-button", root, "Describe by a rule");
  button.type = "button";
  button.title = "Looks for the expression over metadata and image statistics that fits the selection best";
  button.onclick = () => model.send({ kind: "describe" });

  function bars(parent, line) {
    if (line.inside === null) return;
    const meter = make("div", "slicelab-bars", parent);
    make("div", "slicelab-inside", meter).style.width = `${100 * line.inside}%`;
    if (line.outside !== null) make("div", "slicelab-outside", meter).style.width = `${100 * line.outside}%`;
  }

  function draw() {
    const groups = model.get("groups");
    body.replaceChildren();
    button.hidden = !model.get("describable");
    if (!groups.length) make("p", "slicelab-empty", body, "Select units to see what is special about them.");
    for (const group of groups) {
      make("h4", "", body, group.title);
      const list = make("dl", "", body);
      for (const line of group.lines) {
        const term = make("dt", "", list, line.words);
        term.title = line.words;
        const value = make("dd", "", list);
        bars(value, line);
        make("span", "", value, line.value);
      }
    }
  }
  model.on("change:groups", draw);
  model.on("change:describable", draw);
  draw();
  return () => {
    model.off("change:groups", draw);
    model.off("change:describable", draw);
  };
}

export default dependable({ render });
