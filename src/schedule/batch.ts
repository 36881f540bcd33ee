/**
 * Small kernels that do not wait for each other run as one: the groups of a batch are those of its members, one after the
 * other, and a group looks up whose it is. A dispatch costs a barrier of all threads (or 20 us of a driver), more than most sums over
 * tokens, of which a connection has seven. Every kernel goes into the latest batch that comes after all that it needs; one that is not
 * small is a batch of its own. Kernels whose invocations share memory stay alone, since that is declared for a whole kernel.
 */
import * as k from "../kernel/build.js";
import type { Buffer, Kernel, Stmt } from "../kernel/ir.js";
import { rename } from "../kernel/rename.js";
import type { Bound, Place } from "./kernelize.js";

/** Floating-point operations up to which a kernel is small. */
const SMALL = 1 << 22;
/** Members of a batch: with more, every depth would have texts of its own. */
const MOST = 3;

interface Batch {
  readonly members: Bound[];
  readonly open: boolean;
}

/** Words of a space; places overlap when their words in one space do. */
export interface Span {
  readonly space: unknown;
  readonly from: number;
  readonly to: number;
}

/** A range of words that a batch reads or writes. */
interface Touch extends Span {
  readonly writes: boolean;
  readonly batch: number;
}

export function batch(bounds: readonly Bound[], spanOf: (place: Place) => Span): Bound[] {
  const batches: Batch[] = [];
  const touches = new Map<unknown, Touch[]>();
  for (const bound of bounds) {
    const own = bound.kernel.buffers.map(({ access }, i) => ({ ...spanOf(bound.places[i]!), writes: access !== "read" }));
    const earliest = own.reduce((after, { space, from, to, writes }) =>
      (touches.get(space) ?? []).reduce((latest, other) => ((writes || other.writes) && other.from < to && from < other.to ? Math.max(latest, other.batch + 1) : latest), after), 0);
    const small = isSmall(bound);
    let at = small ? batches.length - 1 : -1;
    while (at >= earliest && !hasRoom(batches[at]!, bound)) at--;
    if (small && at >= earliest) batches[at]!.members.push(bound);
    else {
      at = batches.length;
      batches.push({ members: [bound], open: small });
    }
    for (const span of own) {
      const list = touches.get(span.space) ?? [];
      list.push({ ...span, batch: at });
      touches.set(span.space, list);
    }
  }
  return batches.map(({ members }) => (members.length === 1 ? members[0]! : together(members)));
}

const hasRoom = ({ members, open }: Batch, { kernel }: Bound): boolean =>
  open && members.length < MOST && members[0]!.kernel.workgroup === kernel.workgroup;

const isSmall = ({ kernel, flops }: Bound): boolean => flops <= SMALL && kernel.body.every(({ kind }) => kind !== "shared" && kind !== "barrier");

/** One kernel whose groups are those of all members. */
function together(members: readonly Bound[]): Bound {
  const places = [...new Set(members.flatMap((member) => member.places))];
  const used = places.map((place) => members.flatMap((member) => member.kernel.buffers.filter((_, i) => member.places[i] === place)));
  const buffers = places.map((place, i): Buffer => {
    const [reads, writes] = [used[i]!.some(({ access }) => access !== "write"), used[i]!.some(({ access }) => access !== "read")];
    return { name: `b${i}`, pool: place.pool, access: reads && writes ? "read_write" : writes ? "write" : "read" };
  });
  const group = k.ref("group", k.INDEX);
  let start = 0;
  const branches = members.map(({ kernel, places: own }, i) => {
    const names = new Map(kernel.buffers.map(({ name }, b) => [name, `b${places.indexOf(own[b]!)}`]));
    const member = `member${i}`;
    const body: Stmt[] = [k.letS(member, k.sub(group, k.idx(start))), ...rename(kernel.body, new Map([...names, ["group", member]]))];
    start += kernel.groups;
    return { end: start, body };
  });
  const body = branches.reduceRight<readonly Stmt[]>((rest, { end, body: own }) => (rest.length ? [k.ifS(k.lt(group, k.idx(end)), own, rest)] : own), []);
  const first = members[0]!.kernel;
  const name = [...new Set(members.map((member) => member.kernel.name))].join("+");
  const kernel: Kernel = { name, groups: start, workgroup: first.workgroup, buffers, body };
  return {
    kernel, places, tuned: null,
    flops: members.reduce((sum, { flops }) => sum + flops, 0),
    made: new Set(members.flatMap(({ made }) => [...made])),
  };
}
