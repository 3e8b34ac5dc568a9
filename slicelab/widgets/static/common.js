// What the module of every widget begins with.

function make(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// anywidget (0.9.14 to 0.11) gives a model two seconds to start. To one that took longer, as on a busy page, it passes
// no message any more, for good. Here such a model listens again, and asks for what it missed.
function dependable(widget) {
  return {
    ...widget,
    async initialize(context) {
      listenAgain(await context.model.widget_manager.get_model(context.model.get("address")));
      return widget.initialize?.(context);
    },
  };
}

const LATE = "[anywidget] Failed to initialize model.";

async function listenAgain(model) {
  try {
    await model._handle_comm_msg({ content: { data: { method: "none" } } });
  } catch (error) {
    if (error?.message !== LATE || !model.comm) return;
    model._handle_comm_msg = plainHandler(model);
    model.comm.on_msg(model._handle_comm_msg.bind(model));
    model.comm.send({ method: "request_state" }, {});
  }
}

// The handler of ipywidgets itself, which anywidget's waits before.
function plainHandler(model) {
  const handlers = [];
  for (let kind = Object.getPrototypeOf(model); kind; kind = Object.getPrototypeOf(kind)) {
    if (Object.hasOwn(kind, "_handle_comm_msg")) handlers.push(kind._handle_comm_msg);
  }
  return handlers[1];
}

