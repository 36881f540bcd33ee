/**
 * Names of a page are data: no computed string reads or makes a property of a plain object (runtime/records.ts says
 * why). The type checker knows which objects are records and which keys are any string; keys of a closed set of
 * words, and numbers, are not looked at.
 */
import { fileURLToPath } from "node:url";
import { Project, ts } from "ts-morph";
import { describe, expect, it } from "vitest";
import { merged, recordOf, valueAt } from "../../runtime/records.js";

const names = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf"];

describe("records", () => {
  it("hold what was put in, under any name, and nothing else", () => {
    const record = recordOf(names.map((name, i) => [name, i]));
    expect(Object.entries(record)).toEqual(names.map((name, i) => [name, i]));
    expect(names.map((name) => valueAt(record, name))).toEqual([0, 1, 2, 3, 4]);
    expect(
      names.map((name) => valueAt(recordOf<string, number>([]), name) ?? valueAt({}, name) ?? valueAt(null, name)),
    ).toEqual(names.map(() => undefined));
    expect(Object.entries(merged(record, null, recordOf([["valueOf", 9]])))).toEqual([
      ...Object.entries(record).slice(0, 4),
      ["valueOf", 9],
    ]);
    expect(valueAt(JSON.parse(JSON.stringify(record)) as Readonly<Record<string, number>>, "__proto__")).toBe(1);
  });
});

const roomOf = ({ fileName }: ts.SourceFile): string =>
  fileName.replace(/^.*\/(?=(src|runtime|grammar|codegen)\/)/, "");

/** Places of a program where any string can be the key of an object that has a prototype. */
function loose(program: ts.Program, rooms: RegExp): string[] {
  const checker = program.getTypeChecker();
  const anyString = (node: ts.Node): boolean =>
    (checker.getTypeAtLocation(node).flags & (ts.TypeFlags.String | ts.TypeFlags.TemplateLiteral)) !== 0;
  const isOpen = (node: ts.Node): boolean =>
    checker
      .getIndexInfosOfType(checker.getTypeAtLocation(node))
      .some(({ keyType }) => (keyType.flags & ts.TypeFlags.String) !== 0);
  const keys = (call: ts.CallExpression): boolean =>
    checker.getIndexInfosOfType(checker.getTypeAtLocation(call)).length > 0 ||
    (checker.getTypeAtLocation(call).flags & ts.TypeFlags.Any) !== 0;
  const isLoose = (node: ts.Node): boolean => {
    if (ts.isElementAccessExpression(node)) return anyString(node.argumentExpression);
    if (ts.isBinaryExpression(node))
      return (
        node.operatorToken.kind === ts.SyntaxKind.InKeyword && anyString(node.left) && !ts.isStringLiteral(node.left)
      );
    if (ts.isComputedPropertyName(node)) return anyString(node.expression);
    if (ts.isSpreadAssignment(node)) return isOpen(node.expression);
    if (ts.isCallExpression(node))
      return (
        (node.expression.getText() === "Object.fromEntries" && keys(node)) ||
        (node.expression.getText() === "Object.assign" && node.arguments.some(isOpen))
      );
    return ts.isForInStatement(node);
  };
  return program
    .getSourceFiles()
    .filter(({ fileName }) => rooms.test(fileName))
    .flatMap((file) => {
      const places: string[] = [];
      const visit = (node: ts.Node): void => {
        if (isLoose(node))
          places.push(
            `${roomOf(file)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${node.getText()}`,
          );
        ts.forEachChild(node, visit);
      };
      visit(file);
      return places;
    });
}

/** The type checker reads the whole house: seconds, and on a busy machine a minute. */
const PATIENCE = 300_000;

describe("the house", () => {
  it(
    "reads records by `valueAt`, and makes them by `recordOf` and `merged`",
    { tags: "slow", timeout: PATIENCE },
    () => {
      const program = new Project({
        tsConfigFilePath: fileURLToPath(new URL("../../tsconfig.json", import.meta.url)),
      }).getProgram().compilerObject;
      expect(loose(program, /\/(src|grammar|codegen|runtime\/(?!records\.ts))[^]*(?<!\.d)\.ts$/)).toEqual([]);
    },
  );

  it("and would be caught if it did not", () => {
    const project = new Project({
      useInMemoryFileSystem: true,
      compilerOptions: { strict: true, target: ts.ScriptTarget.ES2022 },
    });
    project.createSourceFile(
      "/src/a.ts",
      `
      declare const record: Readonly<Record<string, number>>, closed: Readonly<Record<"a" | "b", number>>;
      declare const list: readonly number[], name: string, which: "a" | "b";
      export const right = [closed[which], list[0], record.a, { ...closed, [which]: 1 }, which in closed];
      export const read = record[name];
      export const held = name in record;
      export const spread = { ...record };
      export const named = { [name]: 1 };
      export const entries = Object.fromEntries([[name, 1]]);
      for (const key in record) console.log(key);
    `,
    );
    expect(
      loose(project.getProgram().compilerObject, /^\/src\//).map((place) => place.replace(/^.*?:\d+ /, "")),
    ).toEqual([
      "record[name]",
      "name in record",
      "...record",
      "[name]",
      "Object.fromEntries([[name, 1]])",
      "for (const key in record) console.log(key);",
    ]);
  });
});
