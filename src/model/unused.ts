/**
 * What a page says and nothing comes of: definitions that nothing uses, values that are thrown away, streams that
 * nothing changes, parameters that no gradient reaches. Each is a warning. What numbers are needed is asked of the
 * typed model (`liveness.ts`); dims, manifolds and blocks, which the model has resolved, are looked for in the page's
 * words. Blocks of the standard library never warn; a use of one on the page may.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Block, File, ModelDecl, ModelItem, Section } from "../../grammar/ast.js";
import type { Span } from "../diagnostics/span.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import { frozenNames, isFrozenWholly } from "./frozen.js";
import { livenessOf, settingsOf, trainedParameters, type Liveness } from "./liveness.js";
import { written } from "./paths.js";
import { namesInBlock, namesInItem, namesInModel } from "./references.js";
import { statementsIn, type ValueStatement } from "./statements.js";
import type { BlockInstance, Statement, Tensor, TypedModel } from "./typed.js";
import { instancesIn } from "./walk.js";

/**
 * The warnings of a page that has no errors, in the order of its text. `library`: the files whose blocks do not warn.
 */
export function unusedIn(model: TypedModel, files: readonly File[], library: readonly File[]): readonly Diagnostic[] {
  const warnings: Diagnostic[] = [];
  const mine = new Set(files.map(({ name }) => name));
  const page = mustAt(files, 0);
  const warn: Warn = (span, message, extra = {}, code = "MHC220") => {
    if (mine.has(span.file) && !warnings.some((other) => other.span === span))
      warnings.push(diagnostic(code, span, message, extra));
  };
  const live = livenessOf(model);

  unusedStatements(model.statements, live, warn);
  const changed = new Set(changedIn(model.statements));
  for (const tensor of streamsIn(model.statements)) {
    if (!changed.has(tensor) && live.read.has(tensor))
      warn(
        tensor.span,
        `nothing changes the stream \`${tensor.name}\``,
        { fix: `write \`${tensor.name} through …\` or \`${tensor.name} = …\`, or define it without \`stream\`` },
        "MHC222",
      );
  }
  for (const tensor of model.inputs)
    if (!live.read.has(tensor))
      warn(tensor.span, `nothing uses the input \`${tensor.name}\``, { fix: "take it out, or read it" });
  unusedInInstances(live, warn);
  unweighedLosses(model, live, mine, warn);
  unusedParameters(model, live, warn);
  const train = page.items.flatMap((item) => (item.kind === "model" ? item.items : [])).find(isTrain);
  if (train) unchanged(model, train.name.span, warn);

  const models = page.items.filter((item): item is ModelDecl => item.kind === "model");
  for (const item of models) {
    unusedNames(item, warn);
    unusedNumbers(item.items, warn);
  }
  const blocks = [...files, ...library]
    .flatMap(({ items }) => items)
    .filter((item): item is Block => item.kind === "block" || item.kind === "connection");
  const called = reachable(mustAt(models, 0), blocks);
  for (const block of blocks) {
    if (!called.has(block.name.name)) {
      if (block.span.file === page.name)
        warn(block.name.span, `nothing uses the ${block.kind} \`${block.name.name}\``, {
          fix: "take it out, or use it",
        });
    } else unusedArguments(block, warn);
  }
  return warnings.sort(
    (a, b) => Number(a.span.file > b.span.file) - Number(a.span.file < b.span.file) || a.span.start - b.span.start,
  );
}

type Warn = (
  span: Span,
  message: string,
  extra?: Parameters<typeof diagnostic>[3],
  code?: "MHC220" | "MHC221" | "MHC222" | "MHC506",
) => void;

const inOrder = (statements: readonly Statement[]): readonly ValueStatement[] =>
  statements.flatMap((statement) => ("value" in statement ? [statement] : inOrder(statementsIn(statement))));
const changedIn = (statements: readonly Statement[]): readonly Tensor[] =>
  inOrder(statements).flatMap((statement) => (statement.kind === "let" ? [] : [statement.stream]));
const streamsIn = (statements: readonly Statement[]): readonly Tensor[] =>
  inOrder(statements).flatMap((statement) =>
    statement.kind === "let" && statement.tensor.kind === "stream" ? [statement.tensor] : [],
  );

function unusedStatements(statements: readonly Statement[], { used, read }: Liveness, warn: Warn): void {
  for (const statement of inOrder(statements)) {
    if (used.has(statement)) continue;
    const learns = [...instancesIn(statement.value)].some(hasParameters);
    const note = learns ? { notes: [{ message: "its parameters would be saved, and never trained", span: null }] } : {};
    if (statement.kind === "let") {
      const { tensor } = statement;
      if (tensor.kind !== "stream")
        warn(tensor.span, `nothing uses \`${tensor.name}\``, {
          ...note,
          fix: "take it out, or use it: neither the loss nor an output needs it",
        });
      else if (read.has(tensor))
        warn(
          tensor.span,
          `what the stream \`${tensor.name}\` begins with is thrown away: nothing reads it before it is replaced`,
          note,
        );
      else
        warn(tensor.span, `nothing uses the stream \`${tensor.name}\``, {
          ...note,
          fix: "take it out, or use it: neither the loss nor an output needs it",
        });
      continue;
    }
    const { stream } = statement;
    const place = statement.kind === "update" ? statement.span : statement.value.span;
    if (read.has(stream))
      warn(
        place,
        `this value of \`${stream.name}\` is thrown away: nothing reads it before it is replaced, nor at the end`,
        note,
      );
  }
}

const hasParameters = (instance: BlockInstance): boolean =>
  instance.parameters.length > 0 ||
  [...instance.body.map(({ value }) => value), instance.result].some((e) => [...instancesIn(e)].some(hasParameters));

/** Definitions, parameters and arguments of the page's own blocks. One that any use of the block needs is used. */
function unusedInInstances({ instances, read }: Liveness, warn: Warn): void {
  const places = new Map<Span, { readonly tensor: Tensor; readonly block: string; needed: boolean }>();
  for (const instance of instances.keys()) {
    for (const tensor of [
      ...instance.formals,
      ...instance.body.map((part) => part.tensor),
      ...instance.parameters.map((part) => part.tensor),
    ]) {
      const place = places.get(tensor.span) ?? { tensor, block: instance.block, needed: false };
      place.needed ||= read.has(tensor);
      places.set(tensor.span, place);
    }
  }
  for (const { tensor, block, needed } of places.values()) {
    if (needed) continue;
    if (tensor.kind === "formal")
      warn(tensor.span, `\`${block}\` does nothing with its argument \`${tensor.name}\``, {
        fix: "use it, or take it out of the header",
      });
    else if (tensor.kind === "parameter")
      warn(
        tensor.span,
        `nothing uses the parameter \`${tensor.name}\` of \`${block}\`: it would be saved, and never trained`,
        { fix: "take it out, or use it" },
      );
    else
      warn(tensor.span, `nothing uses \`${tensor.name}\` in \`${block}\``, {
        fix: "take it out, or use it: the result does not need it",
      });
  }
}

const isTrain = (item: ModelItem): item is Section => item.kind === "section" && item.name.name === "train";

/** Training, or a group of it, all of whose parameters are frozen. `place`: where the section begins. */
function unchanged(model: TypedModel, place: Span, warn: Warn): void {
  const { train, cost } = model;
  if (!train || !model.loss) return;
  const isWhollyFrozen = isFrozenWholly(model);
  const trained = [...trainedParameters(model)];
  // Gates close all the same.
  if (trained.length > 0 && trained.every(isWhollyFrozen) && !cost?.gates.length)
    warn(
      place,
      "everything that could learn is frozen: training changes nothing",
      { fix: "leave something free" },
      IDLE,
    );
  const frozen = frozenNames(model);
  for (const { members, span } of train.groups)
    if ([...members].every((name) => frozen.has(name)))
      warn(span, "everything in this group is frozen: its settings change nothing", { fix: "take it out" }, IDLE);
}

/** The code of training that changes nothing. */
const IDLE = "MHC506";

/** Parameters that are read, and that no gradient comes back to; and those of the page itself that are not read. */
function unusedParameters(model: TypedModel, { instances, read, reached }: Liveness, warn: Warn): void {
  const settings = settingsOf(model.parameters, model.manifolds);
  const isWhollyFrozen = isFrozenWholly(model);
  const uses = new Map(
    [...instances].flatMap(([instance, use]) => instance.parameters.map(({ tensor }) => [tensor, use] as const)),
  );
  /** Names by the place to show: the declaration, or the use of a block whose parameters are declared elsewhere. */
  const still = new Map<Span, { readonly names: string[]; readonly about: Span[] }>();
  for (const parameter of model.parameters) {
    const { tensor, name } = parameter;
    if (settings.has(name)) continue;
    const place = uses.get(tensor) ?? tensor.span;
    if (read.has(tensor)) {
      if (!model.loss || reached.has(tensor) || isWhollyFrozen(parameter)) continue;
      const { names, about } = still.get(place) ?? { names: [], about: [] };
      still.set(place, { names: [...names, `\`${written(name)}\``], about: [...about, tensor.span] });
    } else if (!name.includes(".")) {
      warn(tensor.span, `nothing uses the parameter \`${name}\`: it would be saved, and never trained`, {
        fix: "take it out, or use it",
      });
    }
  }
  for (const [place, { names, about }] of still) {
    warn(
      place,
      `no gradient reaches ${inWords(names)}: training leaves ` +
        `${names.length === 1 ? "it as it starts" : "them as they start"}`,
      {
        fix:
          "conditions, indices, targets, factors of 0, `stop`, `floor`, `round`, `sign` and `argmax` have no " +
          "gradient: read elsewhere what is to be learned, or take it out",
        about,
      },
      "MHC221",
    );
  }
}

const inWords = (names: readonly string[]): string =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${mustAt(names, names.length - 1)}`;

/** Named losses that the page's loss does not weigh. A block of the library is spoken of where the page uses it. */
function unweighedLosses(
  { loss }: TypedModel,
  { unweighed, instances }: Liveness,
  mine: ReadonlySet<string>,
  warn: Warn,
): void {
  if (!loss) return;
  /** Those that are spoken of at one place: the losses of a block of the library. */
  const byPlace = new Map<string, { readonly place: Span; readonly names: string[] }>();
  for (const { name, span, ...term } of unweighed) {
    const uses =
      term.kind === "sum"
        ? [...instances].flatMap(([{ losses }, use]) => (losses.some((own) => term.uses.includes(own)) ? [use] : []))
        : [];
    const place = mine.has(span.file) ? span : uses[0];
    if (!place) continue;
    const id = `${place.file}:${place.start}`;
    const there = byPlace.get(id) ?? { place, names: [] };
    byPlace.set(id, there);
    there.names.push(name);
  }
  for (const { place, names } of byPlace.values()) {
    const listed = inWords(names.map((name) => `\`${name}\``));
    const [it, is] = names.length > 1 ? ["them", "they are"] : ["it", "it is"];
    warn(place, `the page's loss does not weigh ${listed}: ${is} measured, and nothing descends ${it}`, {
      fix: `write \`loss = … ${names.map((name) => `+ 0.01 * ${name}`).join(" ")}\`, or take ${it} out`,
    });
  }
}

/** Dims, numbers, manifolds and data that no other item of the page names. */
function unusedNames(model: ModelDecl, warn: Warn): void {
  const names = namesInModel(model);
  for (const item of model.items) {
    if (item.kind !== "dim" && item.kind !== "number" && item.kind !== "manifold" && item.kind !== "data") continue;
    const { name, span } = item.name;
    if (!names.has(name)) warn(span, `nothing uses the ${item.kind} \`${name}\``, { fix: "take it out, or use it" });
  }
}

/** Names of layers' numbers that nothing in their `repeat` uses, and that do not tell it from another one. */
function unusedNumbers(items: readonly ModelItem[], warn: Warn): void {
  const countOf = (item: ModelItem): string | null =>
    item.kind === "repeat" ? namesInItem({ ...item, body: [] }).join() : null;
  const counts = items.map(countOf);
  for (const item of items) {
    if (item.kind === "if") {
      const { then, otherwise } = item;
      unusedNumbers(then.items, warn);
      if (otherwise) unusedNumbers("kind" in otherwise ? [otherwise] : otherwise.items, warn);
    }
    if (item.kind !== "repeat") continue;
    const { as, body } = item;
    const tells = counts.filter((count) => count === countOf(item)).length > 1;
    if (as && !tells && !body.flatMap(namesInItem).includes(as.name))
      warn(as.span, `nothing uses the number \`${as.name}\` of this \`repeat\``, { fix: "take it out, or use it" });
    unusedNumbers(body, warn);
  }
}

/** Dims of a block, and arguments that are no tensors. */
function unusedArguments(block: Block, warn: Warn): void {
  const names = namesInBlock(block);
  const { name } = block.name;
  for (const formal of [...block.config, ...block.data]) {
    if (!formal.axes && !names.has(formal.name.name))
      warn(formal.name.span, `\`${name}\` does nothing with its argument \`${formal.name.name}\``, {
        fix: "use it, or take it out of the header",
      });
  }
  for (const item of block.items) {
    if ((item.kind === "dim" || item.kind === "number") && !names.has(item.name.name))
      warn(item.name.span, `nothing uses the ${item.kind} \`${item.name.name}\` of \`${name}\``, {
        fix: "take it out, or use it",
      });
  }
}

/** Names of the blocks that a model uses, by itself or through other blocks. */
function reachable(model: ModelDecl, blocks: readonly Block[]): ReadonlySet<string> {
  const byName = new Map<string, Block[]>();
  for (const block of blocks) byName.set(block.name.name, [...(byName.get(block.name.name) ?? []), block]);
  const called = new Set<string>();
  const visit = (names: Iterable<string>): void => {
    for (const name of names) {
      if (called.has(name)) continue;
      const named = byName.get(name);
      if (!named) continue;
      called.add(name);
      named.forEach((block) => visit(namesInBlock(block)));
    }
  };
  visit(namesInModel(model));
  return called;
}
