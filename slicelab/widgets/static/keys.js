// Keys of the explorer around this. JupyterLab has its own meaning for single letters ("a" makes a cell): the
// attribute keeps it from acting on keys that were pressed in here.

const isText = (node) => node.matches?.("input, textarea, select, [contenteditable]");

function render({ model, el }) {
  const root = make("div", "slicelab slicelab-keys", el);
  const hint = make("button", "slicelab-button", root, "? keys");
  hint.type = "button";
  hint.setAttribute("aria-expanded", "false");
  const help = make("dl", "", root);
  help.hidden = true;
  for (const [key, words] of [...model.get("bindings"), ["arrows, Enter", "from picture to picture, open one"],
    ["Esc", "close the picture"], ["?", "this help"]]) {
    const term = make("dt", "", help);
    make("kbd", "", term, key);
    make("dd", "", help, words);
  }
  const toggle = () => {
    help.hidden = !help.hidden;
    hint.setAttribute("aria-expanded", String(!help.hidden));
  };
  hint.onclick = toggle;

  let around = null;
  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isText(event.target)) return;
    if (event.key === "?") toggle();
    else if (model.get("bindings").some(([key]) => key === event.key)) {
      if (event.repeat) return;
      if (event.key === "n") around.querySelector(".slicelab-actions input[type=text]")?.focus();
      else model.send({ kind: "key", key: event.key });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
  // The explorer is put into the page after this has been drawn.
  const attach = () => {
    around = el.closest(".slicelab-explorer");
    if (!around) return requestAnimationFrame(attach);
    around.dataset.lmSuppressShortcuts = "true";
    around.tabIndex = -1;
    around.addEventListener("keydown", press);
    return 0;
  };
  attach();
  return () => around?.removeEventListener("keydown", press);
}

export default dependable({ render });
