/**
 * Just enough scope analysis for lint rules that look for globals: is this identifier a use of a value, and
 * does a scope around it declare the name? Only asked for the few names that are banned, so it may walk.
 *
 * @module
 */

/** A syntax node, seen loosely: lint rules read fields of many node types. */
// deno-lint-ignore no-explicit-any
export type AnyNode = { type: string; parent?: any } & Record<string, any>;

/** Parents under which an identifier names a type, a label or a member, whatever its position. */
const NEVER_REFERENCE: ReadonlySet<string> = new Set([
  "BreakStatement",
  "ContinueStatement",
  "ImportAttribute",
  "ImportDefaultSpecifier",
  "ImportNamespaceSpecifier",
  "ImportSpecifier",
  "LabeledStatement",
  "MetaProperty",
  "TSEnumMember",
  "TSImportType",
  "TSInterfaceDeclaration",
  "TSMethodSignature",
  "TSModuleDeclaration",
  "TSPropertySignature",
  "TSQualifiedName",
  "TSTypeAliasDeclaration",
  "TSTypeParameter",
  "TSTypePredicate",
  "TSTypeQuery",
  "TSTypeReference",
]);

/** Parents whose `key` is a name, not a use, unless it is computed. */
const KEYED: ReadonlySet<string> = new Set([
  "AccessorProperty",
  "MethodDefinition",
  "Property",
  "PropertyDefinition",
  "TSAbstractMethodDefinition",
  "TSAbstractPropertyDefinition",
]);

/** Whether `node` (an Identifier) uses the value of that name. */
export function isReference(node: AnyNode): boolean {
  const parent: AnyNode | undefined = node.parent;
  if (parent === undefined) return true;
  if (NEVER_REFERENCE.has(parent.type)) return false;
  if (parent.type === "MemberExpression") return parent["object"] === node || parent["computed"];
  if (KEYED.has(parent.type)) return parent["key"] !== node || parent["computed"];
  if (parent.type === "ExportSpecifier") {
    return !parent.parent?.source && parent["local"]?.name === node["name"];
  }
  if (parent.type === "TSExpressionWithTypeArguments" || parent.type === "TSClassImplements") {
    return false;
  }
  return true;
}

/** Whether a scope around `node` (an Identifier) declares its name. */
export function isDeclared(node: AnyNode): boolean {
  const name: string = node["name"];
  for (let scope: AnyNode | undefined = node.parent; scope !== undefined; scope = scope.parent) {
    if (declares(scope, name)) return true;
    if (scope.type === "Program") return false;
  }
  return false;
}

function declares(scope: AnyNode, name: string): boolean {
  switch (scope.type) {
    case "Program":
    case "BlockStatement":
    case "StaticBlock":
    case "TSModuleBlock":
      return scope["body"].some((statement: AnyNode) => statementDeclares(statement, name));
    case "SwitchCase":
      return scope["consequent"].some((statement: AnyNode) => statementDeclares(statement, name));
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      return scope["id"]?.name === name ||
        scope["params"].some((param: AnyNode) => patternBinds(param, name));
    case "ClassDeclaration":
    case "ClassExpression":
      return scope["id"]?.name === name;
    case "CatchClause":
      return Boolean(scope["param"]) && patternBinds(scope["param"], name);
    case "ForStatement":
      return Boolean(scope["init"]) && statementDeclares(scope["init"], name);
    case "ForInStatement":
    case "ForOfStatement":
      return statementDeclares(scope["left"], name);
    default:
      return false;
  }
}

function statementDeclares(statement: AnyNode, name: string): boolean {
  switch (statement.type) {
    case "ImportDeclaration":
      return statement["specifiers"].some((each: AnyNode) => each["local"].name === name);
    case "ExportNamedDeclaration":
      return Boolean(statement["declaration"]) && statementDeclares(statement["declaration"], name);
    case "VariableDeclaration":
      // `declare const Deno: …` only names a global: it is no declaration of ours.
      return !statement["declare"] &&
        statement["declarations"].some((each: AnyNode) => patternBinds(each["id"], name));
    case "FunctionDeclaration":
    case "ClassDeclaration":
      return !statement["declare"] && statement["id"]?.name === name;
    default:
      return false;
  }
}

function patternBinds(pattern: AnyNode, name: string): boolean {
  switch (pattern.type) {
    case "Identifier":
      return pattern["name"] === name;
    case "AssignmentPattern":
      return patternBinds(pattern["left"], name);
    case "RestElement":
      return patternBinds(pattern["argument"], name);
    case "ArrayPattern":
      return pattern["elements"].some((each: AnyNode | null) => each && patternBinds(each, name));
    case "ObjectPattern":
      return pattern["properties"].some((each: AnyNode) =>
        patternBinds(each.type === "Property" ? each["value"] : each, name)
      );
    default:
      return false;
  }
}
