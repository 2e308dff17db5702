/**
 * Lint rules that keep the house in order: `layers/imports` holds every import to the map in
 * `tasks/lib/layer_map.ts`, `layers/world` keeps clocks, chance, sockets, files and processes out of pure
 * files.
 *
 * The second rule looks at names, not at types: a global is reported when no scope around its use
 * declares the same name, so a port that happens to be called `fetch` is fine.
 *
 * @module
 */
import { resolve } from "node:path";
import { judgeImport, mayTouchWorld, placeOf } from "./lib/layer_map.ts";
import type { ImportShape } from "./lib/layer_map.ts";
import { isDeclared, isReference } from "./lib/lint_scope.ts";
import type { AnyNode } from "./lib/lint_scope.ts";
import { PARTIAL_GLOBALS, WORLD_GLOBALS } from "./lib/world_names.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..").replaceAll("\\", "/") + "/";

/** The linted file's path from the repository root, with `/`. */
function relativePath(filename: string): string {
  const path = filename.replaceAll("\\", "/");
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
}

/** What an import or export declaration takes from its module. */
function shapeOf(node: AnyNode): ImportShape {
  const specifiers: AnyNode[] = node["specifiers"] ?? [];
  const isTypeKind = node["importKind"] === "type" || node["exportKind"] === "type";
  const kindOf = (specifier: AnyNode) => specifier["importKind"] ?? specifier["exportKind"];
  const typeOnly = isTypeKind ||
    (specifiers.length > 0 && specifiers.every((specifier) => kindOf(specifier) === "type"));
  return {
    typeOnly,
    names: node.type === "ExportAllDeclaration" ? ["*"] : specifiers.map(nameTaken),
  };
}

function nameTaken(specifier: AnyNode): string {
  if (specifier.type === "ImportNamespaceSpecifier") return "*";
  if (specifier.type === "ImportDefaultSpecifier") return "default";
  const name: AnyNode = specifier["imported"] ?? specifier["local"];
  return String(name["name"] ?? name["value"]);
}

const imports: Deno.lint.Rule = {
  create(context) {
    const path = relativePath(context.filename);
    const judge = (node: AnyNode, specifier: unknown, shape: ImportShape) => {
      if (typeof specifier !== "string") return;
      const message = judgeImport(path, specifier, shape);
      if (message !== undefined) report(context, node, message);
    };
    const judgeDeclaration = (node: AnyNode) => judge(node, node["source"]?.value, shapeOf(node));
    return {
      ImportDeclaration: judgeDeclaration,
      ExportNamedDeclaration: judgeDeclaration,
      ExportAllDeclaration: judgeDeclaration,
      TSImportType(node: AnyNode) {
        judge(node, node["argument"]?.literal?.value, { typeOnly: true, names: ["*"] });
      },
      ImportExpression(node: AnyNode) {
        const source = literalText(node["source"]);
        if (source !== undefined) {
          judge(node, source, { typeOnly: false, names: ["*"] });
        } else if (placeOf(path).kind === "lib") {
          report(context, node, "import() of a computed name hides from the layer map: name it");
        }
      },
    };
  },
};

/** The text of a string literal or of a template without holes. */
function literalText(node: AnyNode): string | undefined {
  if (node.type === "Literal" && typeof node["value"] === "string") return node["value"];
  if (node.type === "TemplateLiteral" && node["quasis"].length === 1) {
    return node["quasis"][0].cooked;
  }
  return undefined;
}

const world: Deno.lint.Rule = {
  create(context) {
    const path = relativePath(context.filename);
    if (mayTouchWorld(placeOf(path))) return {};
    return {
      Identifier(node: AnyNode) {
        const found = worldUse(node);
        if (found === undefined || !isReference(node) || isDeclared(node)) return;
        report(
          context,
          node,
          `${found.name} touches the world, and this file is pure: ${found.use}`,
        );
      },
      MemberExpression(node: AnyNode) {
        if (memberName(node) !== "generateKey") return;
        report(context, node, "generateKey reaches chance, and this file is pure: take the key");
      },
    };
  },
};

/** The banned thing that the name stands for, if it is the global of that name. */
function worldUse(node: AnyNode): { name: string; use: string } | undefined {
  const name: string = node["name"];
  if (Object.hasOwn(WORLD_GLOBALS, name)) return { name, use: WORLD_GLOBALS[name] ?? "" };
  const rule = Object.hasOwn(PARTIAL_GLOBALS, name) ? PARTIAL_GLOBALS[name] : undefined;
  if (rule === undefined) return undefined;
  const parent: AnyNode | undefined = node.parent;
  if (name === "Date" && parent !== undefined && isPureDateUse(node, parent)) return undefined;
  if (parent?.type === "BinaryExpression" && parent["operator"] === "instanceof") return undefined;
  if (parent?.type !== "MemberExpression" || parent["object"] !== node) {
    return { name, use: rule.use };
  }
  const member = memberName(parent);
  if (member !== undefined && rule.pure.has(member)) return undefined;
  return { name: `${name}.${member ?? "[computed]"}`, use: rule.use };
}

/** `new Date(ms)` only converts; without arguments it reads the clock. */
function isPureDateUse(node: AnyNode, parent: AnyNode): boolean {
  return parent.type === "NewExpression" && parent["callee"] === node &&
    parent["arguments"].length > 0;
}

function memberName(member: AnyNode): string | undefined {
  const property: AnyNode = member["property"];
  if (!member["computed"]) return property["name"];
  return literalText(property);
}

function report(context: Deno.lint.RuleContext, node: AnyNode, message: string): void {
  context.report({ node: node as Deno.lint.Node, message });
}

const plugin: Deno.lint.Plugin = { name: "layers", rules: { imports, world } };

export default plugin;
