/** A module as binary: the layout of the core specification, 3.0, chapter 5, with the opcodes of instructions.ts. */
import { Bytes } from "./bytes.js";
import type { WasmFunction, Instruction, Label, Local, WasmModule, ValueType } from "./instructions.js";

const TYPES: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, v128: 0x7b };
const FUNCREF = 0x70;
const EMPTY = 0x40;
const END = 0x0b;
/** Limits of a memory: with a largest size; may be shared between threads. */
const SHARED = 3;

/** Puts instructions of one function down, operands first. */
class Encoder {
  private readonly indices = new Map<Local, number>();
  /** Labels of the blocks that are open, outermost first; null for an `if`, which nothing branches to. */
  private readonly open: (Label | null)[] = [];

  constructor(
    private readonly to: Bytes,
    private readonly relaxed: boolean,
    locals: readonly Local[],
  ) {
    locals.forEach((local, i) => this.indices.set(local, i));
  }

  all(list: readonly Instruction[]): void {
    for (const one of list) this.put(one);
  }

  private local(local: Local): void {
    const index = this.indices.get(local);
    if (index === undefined) throw new Error(`codegen: ${local.name} is no local of its function`);
    this.to.unsigned(index);
  }

  private opcode({ prefix, code }: { readonly prefix: number; readonly code: number }): void {
    if (prefix === 0) this.to.byte(code);
    else {
      this.to.byte(prefix);
      this.to.unsigned(code);
    }
  }

  private body(label: Label | null, list: readonly Instruction[]): void {
    this.open.push(label);
    this.all(list);
    this.open.pop();
  }

  /** One case a kind of instruction: a flat table, which no split would make clearer. */
  private put(i: Instruction): void {
    const { to } = this;
    switch (i.kind) {
      case "get":
        to.byte(0x20);
        this.local(i.local);
        break;
      case "plain":
        this.all(i.operands);
        this.opcode(i.op);
        break;
      case "memory":
        this.all(i.operands);
        this.opcode(i.op);
        to.unsigned(i.align);
        to.unsigned(i.offset);
        break;
      case "const":
        to.byte(i.type === "i32" ? 0x41 : i.type === "i64" ? 0x42 : 0x43);
        if (i.type === "f32") to.f32(i.value);
        else to.signed(i.value);
        break;
      case "vector":
        to.byte(0xfd);
        to.unsigned(12);
        for (let n = 0; n < 4; n++) {
          if (i.shape === "f32x4") to.f32(i.word);
          else to.i32(i.word);
        }
        break;
      case "set":
      case "tee":
        this.put(i.value);
        to.byte(i.kind === "set" ? 0x21 : 0x22);
        this.local(i.local);
        break;
      case "fma":
        this.put(i.a);
        this.put(i.b);
        if (!this.relaxed) this.opcode({ prefix: 0xfd, code: 230 });
        this.put(i.c);
        this.opcode({ prefix: 0xfd, code: this.relaxed ? 261 : 228 });
        break;
      case "lane":
        this.all(i.operands);
        this.opcode(i.op);
        to.byte(i.lane);
        break;
      case "shuffle":
        this.all(i.operands);
        this.opcode(i.op);
        for (const from of i.lanes) to.byte(from);
        break;
      case "call":
        this.all(i.operands);
        to.byte(0x11);
        to.byte(0);
        to.byte(0);
        break;
      case "branch": {
        if (i.when) this.put(i.when);
        const at = this.open.lastIndexOf(i.to);
        if (at < 0) throw new Error(`codegen: no open block ${i.to.name}`);
        to.byte(i.when ? 0x0d : 0x0c);
        to.unsigned(this.open.length - 1 - at);
        break;
      }
      case "block":
      case "loop":
        to.byte(i.kind === "block" ? 0x02 : 0x03);
        to.byte(EMPTY);
        this.body(i.label, i.body);
        to.byte(END);
        break;
      case "if":
        this.put(i.condition);
        to.byte(0x04);
        to.byte(EMPTY);
        this.body(null, i.then);
        if (i.else.length) {
          to.byte(0x05);
          this.body(null, i.else);
        }
        to.byte(END);
        break;
      case "twice":
        this.all(i.body);
        if (this.relaxed) this.all(i.body);
        break;
      default:
        i satisfies never;
    }
  }
}

function encodeFunction({ params, locals, body }: WasmFunction, relaxed: boolean): Bytes {
  const to = new Bytes();
  const runs: { readonly type: ValueType; count: number }[] = [];
  for (const { type } of locals) {
    const last = runs.at(-1);
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  to.unsigned(runs.length);
  for (const { type, count } of runs) {
    to.unsigned(count);
    to.byte(TYPES[type]);
  }
  new Encoder(to, relaxed, [...params, ...locals]).all(body);
  to.byte(END);
  return to;
}

/** A module in the binary format. */
export interface WasmBinary {
  readonly bytes: Uint8Array;
  /**
   * Where the flag of the imported memory's limits stands: 3. A loader writes 1 over it to run without shared memory;
   * the code is the same.
   */
  readonly sharedFlag: number;
}

/** `relaxed`: multiply-add of four lanes is one instruction, rounded once or twice as the machine likes. */
export function encodeModule(module: WasmModule, relaxed: boolean): WasmBinary {
  const { kernels, run } = module;
  const functions = [...kernels, run];
  const to = new Bytes();
  for (const byte of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) to.byte(byte);
  section(to, 1, (content) => putTypes(content, run));
  let flagFromEnd = 0;
  section(to, 2, (content) => {
    const flag = putMemory(content);
    flagFromEnd = content.length - flag;
  });
  const sharedFlag = to.length - flagFromEnd;
  section(to, 3, (content) => {
    content.unsigned(functions.length);
    for (const entry of functions) content.unsigned(entry === run ? 1 : 0);
  });
  section(to, 4, (content) => {
    content.unsigned(1);
    content.byte(FUNCREF);
    content.byte(0);
    content.unsigned(kernels.length);
  });
  section(to, 7, (content) => putExports(content, functions));
  section(to, 9, (content) => putTable(content, kernels.length));
  section(to, 10, (content) => {
    content.unsigned(functions.length);
    for (const entry of functions) content.sized(encodeFunction(entry, relaxed));
  });
  return { bytes: to.done(), sharedFlag };
}

/** A section: its number, its size, and what `write` puts in it. */
function section(to: Bytes, id: number, write: (content: Bytes) => void): void {
  const content = new Bytes();
  write(content);
  to.byte(id);
  to.sized(content);
}

/** Two types of functions: 0 is that of kernels, 1 that of `run`. */
function putTypes(content: Bytes, run: WasmFunction): void {
  const parameters: readonly (readonly ValueType[])[] = [
    ["i32", "i32", "i32", "i32"],
    run.params.map(({ type }) => type),
  ];
  content.unsigned(parameters.length);
  for (const types of parameters) {
    content.byte(0x60);
    content.unsigned(types.length);
    for (const type of types) content.byte(TYPES[type]);
    content.unsigned(0);
  }
}

/** The memory that is imported as env.memory. Returns where the flag of its limits stands. */
function putMemory(content: Bytes): number {
  content.unsigned(1);
  content.name("env");
  content.name("memory");
  content.byte(0x02);
  const flag = content.length;
  content.byte(SHARED);
  content.unsigned(1);
  content.unsigned(65536);
  return flag;
}

/** Every function by its name. */
function putExports(content: Bytes, functions: readonly WasmFunction[]): void {
  content.unsigned(functions.length);
  for (const [i, { name }] of functions.entries()) {
    content.name(name);
    content.byte(0);
    content.unsigned(i);
  }
}

/** The kernels as the table's elements, from 0 on. */
function putTable(content: Bytes, kernels: number): void {
  content.unsigned(1);
  for (const byte of [0, 0x41, 0, END]) content.byte(byte);
  content.unsigned(kernels);
  for (let i = 0; i < kernels; i++) content.unsigned(i);
}
