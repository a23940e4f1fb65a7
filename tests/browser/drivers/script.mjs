// What both drivers run in pages. Functions travel as text; what they give comes back as JSON, so that both browsers' ways of
// serialising don't matter. `async` on the outside: a promise is waited for.

/** The expression that runs `what` (a function, or an expression as text) with these arguments, and gives a JSON text. */
export function expression(what, args) {
  const call = typeof what === "function" ? `(${what})(...${JSON.stringify(args)})` : `(${what})`;
  return `(async () => {
    try { return JSON.stringify({ value: await ${call} }); }
    catch (error) {
      return JSON.stringify({ error: { name: String(error?.name), message: String(error?.message ?? error), stack: String(error?.stack) } });
    }
  })()`;
}

/** The value in that text, or the page's error. */
export function outcome(text) {
  const { value, error } = JSON.parse(text);
  if (error) {
    const thrown = new Error(`in the page: ${error.name}: ${error.message}`);
    thrown.inPage = error;
    throw thrown;
  }
  return value;
}

/**
 * Puts `what` behind the button of the test's pages. Its end is in `window.outcome`, a promise of {value} or {error: {name,
 * message, is}}; `is` names the class. Run in the page, before the click.
 */
export function putBehindButton(what, args) {
  return `(() => {
    window.ended = undefined;
    window.outcome = new Promise((resolve) => {
      window.onGo = () => {
        window.onGo = undefined;
        (async () => await (${what})(...${JSON.stringify(args)}))().then(
          (value) => resolve({ value }),
          (error) => resolve({ error: {
            name: String(error?.name), message: String(error?.message ?? error),
            is: error instanceof DOMException ? "DOMException" : error instanceof TypeError ? "TypeError" : typeof error,
          } }),
        );
      };
    });
    window.outcome.then((ended) => { window.ended = ended; });
  })()`;
}
