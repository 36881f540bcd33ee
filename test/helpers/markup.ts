/** The elements of a page that is well-formed as XML, void elements closed; an error that says where it is not. */
export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  /** Of the element and all in it. */
  text: string;
}

const TOKEN = /<!doctype html>|<\/([\w-]+)>|<([\w-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|[^<]+|</gy;

export function parseMarkup(page: string): Element {
  const root: Element = { name: "", attributes: {}, children: [], text: "" };
  const open: Element[] = [root];
  for (const [token, closed, opened, attributes, empty] of page.matchAll(TOKEN)) {
    if (token === "<") throw new Error("a < that begins no tag");
    if (closed !== undefined) {
      const last = open.pop()!;
      if (last.name !== closed) throw new Error(`</${closed}> ends <${last.name}>`);
    } else if (opened !== undefined) {
      const element: Element = {
        name: opened,
        attributes: Object.fromEntries(
          [...(attributes ?? "").matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]),
        ),
        children: [],
        text: "",
      };
      open.at(-1)!.children.push(element);
      if (!empty) open.push(element);
    } else if (!token.startsWith("<!")) {
      if (/&(?!(amp|lt|gt|quot);)/.test(token)) throw new Error(`an & that begins no entity: ${token}`);
      const plain = token
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")
        .replaceAll("&quot;", '"')
        .replaceAll("&amp;", "&");
      for (const element of open) element.text += plain;
    }
  }
  if (open.length !== 1) throw new Error(`<${open.at(-1)!.name}> does not end`);
  return root;
}

/** All elements of a name, in the order of the page. */
export const all = (element: Element, name: string): Element[] =>
  element.children.flatMap((child) => [...(child.name === name ? [child] : []), ...all(child, name)]);
