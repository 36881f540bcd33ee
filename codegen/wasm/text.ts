/** A module as text, for people: the folded form, a statement a line. */
import { shortestF32 } from "../../src/kernel/literals.js";
import { Bytes } from "./bytes.js";
import type { Instruction, Local, WasmFunction, WasmModule } from "./instructions.js";

/** A decimal that reads back as the same f32. */
function float(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return shortestF32(value);
}

/**
 * Text is written as bytes: a string that is added to a million times is a rope of a million pieces, which the garbage
 * collector walks through again and again.
 */
class Printer {
  private readonly bytes = new Bytes();

  constructor(private readonly relaxed: boolean) {}

  add(...pieces: readonly string[]): void {
    for (const piece of pieces) this.bytes.ascii(piece);
  }

  text(): string {
    return new TextDecoder().decode(this.bytes.done());
  }

  all(list: readonly Instruction[], before: string): void {
    for (const instruction of list) {
      this.add(before);
      this.put(instruction);
    }
  }

  private operation(head: string, operands: readonly Instruction[]): void {
    this.add(head);
    this.all(operands, " ");
    this.add(")");
  }

  /** One case a kind of instruction: a flat table, which no split would make clearer. */
  private put(i: Instruction): void {
    switch (i.kind) {
      case "get":
        this.add("(local.get $", i.local.name, ")");
        break;
      case "plain":
        this.operation(`(${i.op.name}`, i.operands);
        break;
      case "memory":
        this.operation(`(${i.op.name}${immediates(i)}`, i.operands);
        break;
      case "const":
        this.add(`(${i.type}.const ${i.type === "f32" ? float(i.value) : i.value})`);
        break;
      case "vector": {
        const word = i.shape === "f32x4" ? float(i.word) : `${i.word}`;
        this.add(`(v128.const ${i.shape} ${word} ${word} ${word} ${word})`);
        break;
      }
      case "set":
      case "tee":
        this.operation(`(local.${i.kind} $${i.local.name}`, [i.value]);
        break;
      case "fma":
        if (this.relaxed) this.operation("(f32x4.relaxed_madd", [i.a, i.b, i.c]);
        else {
          this.operation("(f32x4.add (f32x4.mul", [i.a, i.b]);
          this.operation("", [i.c]);
        }
        break;
      case "lane":
        this.operation(`(${i.op.name} ${i.lane}`, i.operands);
        break;
      case "shuffle":
        this.operation(`(${i.op.name} ${i.lanes.join(" ")}`, i.operands);
        break;
      case "call":
        this.operation("(call_indirect (type $kernel)", i.operands);
        break;
      case "branch":
        this.operation(`(${i.when ? "br_if" : "br"} $${i.to.name}`, i.when ? [i.when] : []);
        break;
      case "block":
      case "loop":
        this.add(`(${i.kind} $${i.label.name}`);
        this.all(i.body, "\n");
        this.add(")");
        break;
      case "if":
        this.add("(if ");
        this.put(i.condition);
        this.add(" (then");
        this.all(i.then, "\n");
        if (i.else.length) {
          this.add(") (else");
          this.all(i.else, "\n");
        }
        this.add("))");
        break;
      case "twice": {
        const [first, ...others] = this.relaxed ? [...i.body, ...i.body] : i.body;
        if (first) this.put(first);
        this.all(others, "\n");
        break;
      }
      default:
        i satisfies never;
    }
  }
}

/** The offset and the alignment of a load or a store, where they are not what the text may leave out. */
function immediates(i: Extract<Instruction, { readonly kind: "memory" }>): string {
  const offset = i.offset ? ` offset=${i.offset}` : "";
  return i.align === i.natural ? offset : `${offset} align=${2 ** i.align}`;
}

/** The module with an instruction a line; `relaxed` as in binary.ts. */
export function printModule({ kernels, run }: WasmModule, relaxed = false): string {
  const printer = new Printer(relaxed);
  const declare = (word: "param" | "local", locals: readonly Local[], before: string): void => {
    for (const { name, type } of locals) printer.add(`${before}(${word} $`, name, " ", type, ")");
  };
  const put = ({ name, comment, params, locals, body }: WasmFunction, type: string): void => {
    if (comment !== undefined) printer.add("\n;; ", comment);
    printer.add(`\n(func $${name} (export "${name}")${type}`);
    declare("param", params, " ");
    declare("local", locals, "\n");
    printer.all(body, "\n");
    printer.add(")");
  };
  printer.add(
    [
      "(module",
      `(import "env" "memory" (memory 1 65536 shared))`,
      "(type $kernel (func (param i32 i32 i32 i32)))",
      `(table ${kernels.length} funcref)`,
      `(elem (i32.const 0)${kernels.map(({ name }) => ` $${name}`).join("")})`,
    ].join("\n"),
  );
  for (const kernel of kernels) put(kernel, " (type $kernel)");
  put(run, "");
  printer.add(")\n");
  return printer.text();
}
