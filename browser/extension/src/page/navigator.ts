// Members of `navigator` that the wallet adds.
import { typeError } from "./errors";
import { getter, method } from "./interfaces";
import { type List, defineProperty } from "./primordials";

/** Adds an operation to Navigator.prototype. */
export function addNavigatorMethod(
  window: Window & typeof globalThis,
  name: string,
  length: number,
  run: (args: List<unknown>) => unknown,
): void {
  const { navigator } = window;
  const property = method(name, length, (self, args) => {
    if (self !== navigator) {
      throw typeError("Illegal invocation");
    }
    return run(args);
  });
  defineProperty(window.Navigator.prototype, name, property);
}

/** Adds a read-only attribute to Navigator.prototype. */
export function addNavigatorAttribute(window: Window & typeof globalThis, name: string, value: object): void {
  const { navigator } = window;
  const property = getter(name, (self) => {
    if (self !== navigator) {
      throw typeError("Illegal invocation");
    }
    return value;
  });
  defineProperty(window.Navigator.prototype, name, property);
}
