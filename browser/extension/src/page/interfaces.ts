// Builds interface objects in the shape that Web IDL gives native ones: enumerable members on the prototype, accessors with
// brand checks, Symbol.toStringTag, a constructor whose `prototype` cannot be replaced.
import { typeError } from "./errors";
import { type Interface, type Member, runMember } from "./members";
import {
  type List,
  type Property,
  defineProperty,
  descriptor,
  propertyOf,
  rejected,
  setPrototypeOf,
  toStringTagSymbol,
} from "./primordials";

/** A constructor of ours. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the generic way to name a constructor
export type InterfaceObject = abstract new (...args: any[]) => object;

/** Gives a class its name, its place below `parent` and its name for toString. */
export function shape(constructor: InterfaceObject, name: string, length: number, parent: InterfaceObject): void {
  defineProperty(constructor, "name", descriptor({ value: name, configurable: true }));
  defineProperty(constructor, "length", descriptor({ value: length, configurable: true }));
  setPrototypeOf(constructor, parent);
  const prototype = constructor.prototype as object;
  setPrototypeOf(prototype, parent.prototype as object);
  defineProperty(prototype, toStringTagSymbol, descriptor({ value: name, configurable: true }));
}

/** Defines a class as a property of the window: writable, configurable, not enumerable, as Web IDL has it. */
export function expose(window: object, constructor: InterfaceObject, name: string): void {
  defineProperty(window, name, descriptor({ value: constructor, writable: true, configurable: true }));
}

/** Defines an interface's members on a prototype. */
export function defineMembers(prototype: object, shapeOf: Interface): void {
  for (let i = 0; i < shapeOf.members.length; i++) {
    const member = shapeOf.members[i] as Member;
    defineProperty(prototype, member.name, memberDescriptor(member, shapeOf));
  }
}

/** The property of a member: what `this` is not ours gets a TypeError, in a promise where the member returns one. */
function memberDescriptor(member: Member, { isOurs, handlersOf }: Interface): PropertyDescriptor {
  const { name } = member;
  const illegal = (): TypeError => typeError("Illegal invocation");
  switch (member.kind) {
    case "promise":
    case "operation":
      return method(name, 0, (self, args) => {
        if (isOurs(self)) {
          return runMember(member, self, args);
        }
        if (member.kind === "promise") {
          return rejected(illegal());
        }
        throw illegal();
      });
    case "attribute":
      return getter(name, (self) => {
        if (!isOurs(self)) {
          throw illegal();
        }
        return member.get(self as object);
      });
    case "handler": {
      const handlers = (self: unknown): NonNullable<ReturnType<typeof handlersOf>> => {
        const found = handlersOf(self);
        if (found === undefined) {
          throw illegal();
        }
        return found;
      };
      return accessor(
        name,
        (self) => handlers(self).get(member.type),
        (self, value) => {
          handlers(self).set(member.type, value);
        },
      );
    }
  }
}

/** An enumerable method: a function that is no constructor. */
export function method(
  name: string,
  length: number,
  run: (self: unknown, args: List<unknown>) => unknown,
): PropertyDescriptor {
  const holder = {
    [name](this: unknown, ...args: unknown[]) {
      return run(this, args);
    },
  };
  const value = holder[name] as object;
  defineProperty(value, "length", descriptor({ value: length, configurable: true }));
  return descriptor({ value, writable: true, enumerable: true, configurable: true });
}

/** An enumerable read-only attribute. */
export function getter(name: string, get: (self: unknown) => unknown): PropertyDescriptor {
  const holder = {
    get [name](): unknown {
      return get(this);
    },
  };
  return enumerable(propertyOf(holder, name));
}

/** An enumerable attribute. */
export function accessor(
  name: string,
  get: (self: unknown) => unknown,
  set: (self: unknown, value: unknown) => void,
): PropertyDescriptor {
  const holder = {
    get [name](): unknown {
      return get(this);
    },
    set [name](value: unknown) {
      set(this, value);
    },
  };
  return enumerable(propertyOf(holder, name));
}

/** Members of an object literal are enumerable and configurable as they are. */
function enumerable(property: Property | undefined): PropertyDescriptor {
  return descriptor(property ?? {});
}

/** Web IDL: a constructor or operation that is called with too few arguments. */
export function checkArgumentCount(args: List<unknown>, required: number, what: string): void {
  if (args.length < required) {
    throw typeError(`${what}: ${required} arguments required, but only ${args.length} present.`);
  }
}
