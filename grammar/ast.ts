/**
 * The syntax tree of a .mhc file: what the parser makes, the formatter prints and the model elaborates. Plain data with
 * a span on every node; nothing here knows the parser.
 */
import type { Span } from "../src/diagnostics/span.js";
import type { Call, Expr, Ident, NumberLiteral, Path, StringLiteral } from "./expression-ast.js";

export type * from "./expression-ast.js";

/** The `///` lines just above an item, without the slashes, joined by newlines; null when there are none. */
export type Doc = string | null;

/** `dim d = w / heads, u = t`: one per name. */
export interface DimDecl {
  readonly kind: "dim";
  readonly name: Ident;
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `number temperature = 0.5, floor = 1 / 64`: one per name. */
export interface NumberDecl {
  readonly kind: "number";
  readonly name: Ident;
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `data corpus = characters("…", window = context)` */
export interface DataDecl {
  readonly kind: "data";
  readonly name: Ident;
  readonly source: Call;
  readonly doc: Doc;
  readonly span: Span;
}

/** How an option of a set changes while training. */
export type AdaptClause =
  /** `adapt relax in 0 .. 1`, `adapt rank in 1 .. 16 weight 1e-3` */
  | {
      readonly kind: "learned";
      readonly what: Ident;
      readonly from: Expr;
      readonly to: Expr;
      readonly weight: Expr | null;
      readonly span: Span;
    }
  /** `adapt temperature = cosine(4, 1, warmup = 100)` */
  | { readonly kind: "scheduled"; readonly what: Ident; readonly value: Expr; readonly span: Span };

/** `manifold Mixing = birkhoff(iterations = 20) adapt relax in 0 .. 1` */
export interface ManifoldDecl {
  readonly kind: "manifold";
  readonly name: Ident;
  readonly value: Call;
  readonly adapt: readonly AdaptClause[];
  readonly doc: Doc;
  readonly span: Span;
}

/** `stream x[lanes, context, width] = …` */
export interface StreamDecl {
  readonly kind: "stream";
  readonly name: Ident;
  readonly axes: readonly Ident[];
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `input u[n, t, w]` */
export interface InputDecl {
  readonly kind: "input";
  readonly name: Ident;
  readonly axes: readonly Ident[];
  readonly doc: Doc;
  readonly span: Span;
}

/** `output v[n, t, w] = …` */
export interface OutputDecl {
  readonly kind: "output";
  readonly name: Ident;
  readonly axes: readonly Ident[];
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `q[t, heads, d] = y[t, w] * wq[w, heads, d]`; axes null when none are written. */
export interface Let {
  readonly kind: "let";
  readonly name: Ident;
  readonly axes: readonly Ident[] | null;
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `x through attention(heads) via mhc(Mixing) as first`. `block` and `via` are a path or a call. */
export interface Apply {
  readonly kind: "apply";
  readonly stream: Ident;
  readonly block: Path | Call;
  readonly via: Path | Call | null;
  readonly as: Ident | null;
  readonly doc: Doc;
  readonly span: Span;
}

/** `repeat layers { … }`, `repeat layers as l { … }`, `repeat layers shared { … }` */
export interface Repeat {
  readonly kind: "repeat";
  readonly count: Expr;
  /** What the number of a layer is called in the body; null when it has no name. */
  readonly as: Ident | null;
  /** Whether all layers use one set of parameters. */
  readonly shared: boolean;
  readonly body: readonly PageStatement[];
  readonly doc: Doc;
  readonly span: Span;
}

/** What stands in braces, with the place from the opening to the closing one. */
export interface Braced<Item> {
  readonly items: readonly Item[];
  readonly span: Span;
}

/** `if l % 4 == 3 { … } else { … }`; `otherwise` is another `if` where one stands right behind `else`. */
export interface If<Item> {
  readonly kind: "if";
  readonly condition: Expr;
  readonly then: Braced<Item>;
  readonly otherwise: Braced<Item> | If<Item> | null;
  readonly doc: Doc;
  readonly span: Span;
}

/** What a model computes: what may stand in the body of a `repeat` and of an `if`, too. */
export type PageStatement = Let | Apply | Repeat | If<PageStatement>;

/** `loss = mean[t](…)` */
export interface LossDecl {
  readonly kind: "loss";
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `loss balance = mean[t](…)`: a part of the loss that has a name, of a block or of the model. */
export interface TermDecl {
  readonly kind: "term";
  readonly name: Ident;
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `metric accuracy = mean[t](…)` */
export interface MetricDecl {
  readonly kind: "metric";
  readonly name: Ident;
  readonly value: Expr;
  readonly doc: Doc;
  readonly span: Span;
}

/** `param wq[w, heads, d] ~ normal(0.02) on stiefel`; one per name, those before a `~` share its start. */
export interface ParamDecl {
  readonly kind: "param";
  readonly name: Ident;
  readonly axes: readonly Ident[];
  readonly start: Path | Call;
  /** `~ normal(0.02) each hidden on sphere`: the set, and the axes whose every index is a point of it. */
  readonly each: readonly Ident[];
  readonly on: Path | Call | null;
  /** Whether `frozen` stands behind it: training leaves it as it starts. */
  readonly frozen: boolean;
  readonly doc: Doc;
  readonly span: Span;
}

/** `every 6`, as the value of a setting. */
export interface Every {
  readonly kind: "every";
  readonly count: Expr;
  readonly span: Span;
}

/** `batch = 12`, `recompute = every 6` */
export interface NamedSetting {
  readonly kind: "setting";
  readonly name: Ident;
  readonly value: Expr | Every;
  readonly span: Span;
}

/** Parameters of a page: by a path (`layers.0`), by a kind (`vectors`), or by a pattern in quotes (`"*.bias"`). */
export type ParameterTarget = Path | StringLiteral;

/** One line of a section, kept as written: `batch = 12`, `energy <= 50%`, `mlp.up each hidden on sphere`, … */
export type Clause =
  | NamedSetting
  /** `mlp.up each hidden on sphere` */
  | {
      readonly kind: "on";
      readonly path: Path;
      readonly each: readonly Ident[];
      readonly manifold: Path | Call;
      readonly span: Span;
    }
  /** `gain(x) <= 1.6 monitored`, `product[layers](norm(mlp.up)) <= 8 shared`, `energy <= 50%` */
  | {
      readonly kind: "bound";
      readonly left: Expr;
      readonly right: Expr;
      readonly shared: boolean;
      readonly monitored: boolean;
      readonly span: Span;
    }
  /** `device laptop`, `flops weight 0.1`, `shrink heads, mlp.hidden`: words and values as written */
  | { readonly kind: "words"; readonly words: readonly (Path | NumberLiteral)[]; readonly span: Span }
  /** `freeze embed, layers.0` */
  | { readonly kind: "freeze"; readonly targets: readonly ParameterTarget[]; readonly span: Span }
  /** `group "*.mix.*" { rate = 10%, decay = 0 }` */
  | {
      readonly kind: "group";
      readonly targets: readonly ParameterTarget[];
      readonly settings: readonly NamedSetting[];
      readonly span: Span;
    };

/** `constrain { … }`, `cost { … }`, `train { … }` */
export interface Section {
  readonly kind: "section";
  readonly name: Ident;
  readonly clauses: readonly Clause[];
  readonly doc: Doc;
  readonly span: Span;
}

/** `allow MHC220, MHC221`: these warnings are not shown for the page, or for what is inside of the block. */
export interface Allow {
  readonly kind: "allow";
  readonly codes: readonly Ident[];
  readonly span: Span;
}

/** What stands in the braces of a model. */
export type ModelItem =
  | DimDecl
  | NumberDecl
  | DataDecl
  | ManifoldDecl
  | StreamDecl
  | InputDecl
  | OutputDecl
  | PageStatement
  | LossDecl
  | TermDecl
  | MetricDecl
  | ParamDecl
  | Section
  | Allow;

/** `model MobyDick { … }` */
export interface ModelDecl {
  readonly kind: "model";
  readonly name: Ident;
  readonly items: readonly ModelItem[];
  readonly doc: Doc;
  readonly span: Span;
}

/** What stands in the braces of a block, before its `return`. */
export type BlockItem = DimDecl | NumberDecl | ParamDecl | Let | TermDecl | If<BlockItem> | Allow;

/**
 * A parameter of a block: `y[t, w]` is a tensor, `heads` (no type) a dim, except that in the last list of a
 * `connection` a bare name is the block it wraps; `M: manifold`, `norm: block`, `k: dim`, `out: start`, `p: number` say
 * so. A name without a type that no axis and no size of the block is made of may be given a number, too.
 */
export interface Formal {
  readonly name: Ident;
  readonly axes: readonly Ident[] | null;
  readonly type: Ident | null;
  readonly default: Expr | null;
  readonly span: Span;
}

/** `block attention(heads)(y[t, w]) { … return [t, w] = … }` */
export interface Block {
  readonly kind: "block" | "connection";
  readonly name: Ident;
  /** The first of two lists: configuration. Empty when the block is written with one list. */
  readonly config: readonly Formal[];
  /** The last list: data. */
  readonly data: readonly Formal[];
  readonly items: readonly BlockItem[];
  readonly result: { readonly axes: readonly Ident[] | null; readonly value: Expr; readonly span: Span };
  readonly doc: Doc;
  readonly span: Span;
}

/** What may stand in the braces of a model or of a block, and in those of their parts. */
export type AnyItem = ModelItem | BlockItem;

/** `use "./mine.mhc"`, `use "./mine.mhc" { gated, router }` */
export interface Use {
  readonly kind: "use";
  readonly path: StringLiteral;
  /** What is taken of it; null for all. */
  readonly names: readonly Ident[] | null;
  readonly span: Span;
}

/** A page: `name` as spans have it, `text` whole. */
export interface File {
  readonly kind: "file";
  readonly name: string;
  readonly text: string;
  readonly items: readonly (Use | ModelDecl | Block)[];
}
