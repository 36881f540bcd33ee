/**
 * The function that every thread runs for an entry: walks `count` records of 32 bytes (kernel, groups of all copies,
 * address of the arguments, groups of one copy, bytes of its arguments), works on the groups of each, and waits for the
 * others after it. Every thread has a share of the groups, always the same one, so that what it wrote lies in its own
 * cache; it claims them one by one from its counter, and when its share is done it helps the others with theirs. So
 * threads end together although the machine is shared, and since groups are independent no bit depends on who ran
 * which. The barrier counts arrivals at `barrier` and generations at `barrier + 4`; the last to arrive clears the
 * counters (a cache line each, from `barrier + 64`) and opens the next generation. Waiting spins first, since a
 * dispatch is short, and sleeps when it is not.
 */
import {
  block,
  branch,
  get,
  i32,
  i64,
  loop,
  memory,
  plain,
  set,
  tee,
  when,
  type Instruction,
  type Label,
  type Local,
  type WasmFunction,
} from "./instructions.js";

const SPINS = 20_000;

const word = (name: string): Local => ({ name, type: "i32" });
const label = (name: string): Label => ({ name });

const [table, count, threads, thread, scratch, barrier] = [
  word("table"),
  word("count"),
  word("threads"),
  word("thread"),
  word("scratch"),
  word("barrier"),
];
const [last, groups, group, to, victim, remaining, counter, from, generation, spins, groupsOfCopy, copy] = [
  word("last"),
  word("groups"),
  word("group"),
  word("to"),
  word("victim"),
  word("left"),
  word("counter"),
  word("from"),
  word("generation"),
  word("spins"),
  word("own"),
  word("copy"),
];

const add = (a: Instruction, b: Instruction): Instruction => plain("i32.add", a, b);
const sub = (a: Instruction, b: Instruction): Instruction => plain("i32.sub", a, b);
const mul = (a: Instruction, b: Instruction): Instruction => plain("i32.mul", a, b);
const div = (a: Instruction, b: Instruction): Instruction => plain("i32.div_u", a, b);
const shl = (a: Instruction, by: number): Instruction => plain("i32.shl", a, i32(by));
const step = (local: Local): Instruction => set(local, add(get(local), i32(1)));
const field = (index: number): Instruction => memory("i32.load", 4 * index, get(table));
/** Runs groups of one copy of the record's kernel. */
const call = (begin: Instruction, end: Instruction): Instruction => ({
  kind: "call",
  operands: [add(field(2), mul(get(copy), field(4))), get(scratch), begin, end, field(0)],
});
const counterOf = (owner: Local): Instruction => add(add(get(barrier), i32(64)), shl(get(owner), 6));
const shareOf = (owner: Local): Instruction => div(mul(get(groups), get(owner)), get(threads));

const [done, next, copies, shares, empty, claim, clear, open, wait] = [
  label("done"),
  label("next"),
  label("copies"),
  label("shares"),
  label("empty"),
  label("claim"),
  label("clear"),
  label("open"),
  label("wait"),
];

/** One thread has no one to wait for. */
const alone: readonly Instruction[] = [
  set(copy, i32(0)),
  loop(copies, [
    call(i32(0), get(groupsOfCopy)),
    step(copy),
    branch(copies, plain("i32.lt_u", mul(get(copy), get(groupsOfCopy)), get(groups))),
  ]),
];

const work: readonly Instruction[] = [
  set(victim, get(thread)),
  set(remaining, get(threads)),
  loop(shares, [
    set(counter, counterOf(victim)),
    set(from, shareOf(victim)),
    step(victim),
    set(to, shareOf(victim)),
    block(empty, [
      loop(claim, [
        set(group, add(get(from), memory("i32.atomic.rmw.add", 0, get(counter), i32(1)))),
        branch(empty, plain("i32.ge_u", get(group), get(to))),
        set(copy, div(get(group), get(groupsOfCopy))),
        set(group, sub(get(group), mul(get(copy), get(groupsOfCopy)))),
        call(get(group), add(get(group), i32(1))),
        branch(claim),
      ]),
    ]),
    when(plain("i32.eq", get(victim), get(threads)), [set(victim, i32(0))]),
    branch(shares, tee(remaining, sub(get(remaining), i32(1)))),
  ]),
];

const release: readonly Instruction[] = [
  set(remaining, get(threads)),
  loop(clear, [
    set(remaining, sub(get(remaining), i32(1))),
    memory("i32.atomic.store", 0, counterOf(remaining), i32(0)),
    branch(clear, get(remaining)),
  ]),
  memory("i32.atomic.store", 0, get(barrier), i32(0)),
  plain("drop", memory("i32.atomic.rmw.add", 4, get(barrier), i32(1))),
  plain("drop", memory("memory.atomic.notify", 4, get(barrier), i32(-1))),
];

const meet: readonly Instruction[] = [
  set(spins, i32(0)),
  block(open, [
    loop(wait, [
      branch(open, plain("i32.ne", memory("i32.atomic.load", 4, get(barrier)), get(generation))),
      step(spins),
      when(plain("i32.gt_u", get(spins), i32(SPINS)), [
        plain("drop", memory("memory.atomic.wait32", 4, get(barrier), get(generation), i64(-1))),
      ]),
      branch(wait),
    ]),
  ]),
];

const together: readonly Instruction[] = [
  ...work,
  set(generation, memory("i32.atomic.load", 4, get(barrier))),
  when(
    plain("i32.eq", memory("i32.atomic.rmw.add", 0, get(barrier), i32(1)), sub(get(threads), i32(1))),
    release,
    meet,
  ),
];

/** Runs a table of dispatches (see above). */
export const run: WasmFunction = {
  name: "run",
  params: [table, count, threads, thread, scratch, barrier],
  locals: [last, groups, group, to, victim, remaining, counter, from, generation, spins, groupsOfCopy, copy],
  body: [
    set(last, add(get(table), shl(get(count), 5))),
    block(done, [
      loop(next, [
        branch(done, plain("i32.ge_u", get(table), get(last))),
        set(groups, field(1)),
        set(groupsOfCopy, field(3)),
        when(plain("i32.eq", get(threads), i32(1)), alone, together),
        set(table, add(get(table), i32(32))),
        branch(next),
      ]),
    ]),
  ],
};
