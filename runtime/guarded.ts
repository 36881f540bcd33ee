/** What all sessions have in common: nothing is done for one that is closed. */
import type { Session } from "./device.js";
import { DeviceError } from "./errors.js";

/**
 * A session that refuses every call once it is closed, with a DeviceError: `write` throws it, the others reject. Closed
 * twice, it is closed once.
 */
export function guarded(session: Session): Session {
  let closed: Promise<void> | null = null;
  const check = (): void => {
    if (closed) throw new DeviceError("the session is closed");
  };
  return {
    bytes: session.bytes,
    get submits() {
      return session.submits;
    },
    async run(entry, read) {
      check();
      return session.run(entry, read);
    },
    async profile(entry) {
      check();
      return session.profile(entry);
    },
    write(ref, data, at) {
      check();
      session.write(ref, data, at);
    },
    async read(ref) {
      check();
      return session.read(ref);
    },
    close: () => (closed ??= session.close()),
  };
}
