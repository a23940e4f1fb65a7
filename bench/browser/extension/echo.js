// One port, kept; a round trip is what comes back for what was sent.
const port = chrome.runtime.connectNative("io.github.fwpd.bench_echo");

window.roundTrip = () =>
  new Promise((resolve, reject) => {
    const start = performance.now();
    const take = () => {
      port.onMessage.removeListener(take);
      resolve(performance.now() - start);
    };
    port.onMessage.addListener(take);
    port.onDisconnect.addListener(() => reject(new Error(chrome.runtime.lastError?.message ?? "the host is gone")));
    port.postMessage({ id: 1, method: "canMakePayment", params: { origin: "https://spaceshop.com" } });
  });
