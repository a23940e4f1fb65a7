// What every extension needs between a page and its worker, and nothing more.
const port = chrome.runtime.connect({ name: "relay" });
window.addEventListener("message", (event) => {
  if (event.data.ask !== undefined) port.postMessage(event.data.ask);
});
port.onMessage.addListener((answer) => window.postMessage({ answer }, "*"));
