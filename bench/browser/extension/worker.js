// Passes a page's message on to the host, and the answer back.
let native = null;
let page = null;

chrome.runtime.onConnect.addListener((port) => {
  page = port;
  if (native === null) {
    native = chrome.runtime.connectNative("io.github.fwpd.bench_echo");
    native.onMessage.addListener((answer) => page.postMessage(answer));
    native.onDisconnect.addListener(() => {
      native = null;
    });
  }
  port.onMessage.addListener((message) => native.postMessage(message));
});
