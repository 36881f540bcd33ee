/** What the binary and the text of a module are written to. */

/** Bytes that grow at their end. */
export class Bytes {
  private bytes = new Uint8Array(1 << 12);
  private view = new DataView(this.bytes.buffer);
  length = 0;

  private room(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = new Uint8Array(2 * (this.length + more));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    this.room(1);
    this.bytes[this.length++] = value;
  }

  /** LEB128 of a number below 2^32. */
  unsigned(value: number): void {
    this.room(5);
    for (; value > 0x7f; value >>>= 7) this.bytes[this.length++] = (value & 0x7f) | 0x80;
    this.bytes[this.length++] = value;
  }

  /** Signed LEB128 of an i32. */
  signed(value: number): void {
    this.room(5);
    for (; value > 0x3f || value < -0x40; value >>= 7) this.bytes[this.length++] = (value & 0x7f) | 0x80;
    this.bytes[this.length++] = value & 0x7f;
  }

  f32(value: number): void {
    this.room(4);
    this.view.setFloat32(this.length, value, true);
    this.length += 4;
  }

  i32(value: number): void {
    this.room(4);
    this.view.setInt32(this.length, value, true);
    this.length += 4;
  }

  /** A vector of bytes: how many, then they. */
  sized(content: Bytes): void {
    this.unsigned(content.length);
    this.room(content.length);
    this.bytes.set(content.bytes.subarray(0, content.length), this.length);
    this.length += content.length;
  }

  name(text: string): void {
    const utf8 = new TextEncoder().encode(text);
    this.unsigned(utf8.length);
    for (const byte of utf8) this.byte(byte);
  }

  /** A text of ASCII, without its length. Throws an Error for any other: names of a page are ASCII. */
  ascii(text: string): void {
    this.room(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) throw new Error(`codegen: ${JSON.stringify(text)} is not ASCII`);
      this.bytes[this.length++] = code;
    }
  }

  done(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
