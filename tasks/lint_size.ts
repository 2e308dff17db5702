/**
 * Lint rule `size/function-lines`: a function that does not fit a screen is several functions. Files have
 * their own limit in `tasks/tidy.ts`.
 *
 * @module
 */

/** Lines from the first of the head to the closing brace. About 15 is the aim; this is the end. */
export const FUNCTION_LINES_MAX = 70;

/** A reader of line breaks: how many lines `text` takes. */
export function countLines(text: string): number {
  return text.split("\n").length;
}

const functionLines: Deno.lint.Rule = {
  create(context) {
    const check = (node: Deno.lint.Node) => {
      const lines = countLines(context.sourceCode.getText(node));
      if (lines <= FUNCTION_LINES_MAX) return;
      context.report({
        node,
        message:
          `This function takes ${lines} lines, the limit is ${FUNCTION_LINES_MAX}: give its ` +
          "parts names of their own",
      });
    };
    return {
      FunctionDeclaration: check,
      FunctionExpression: check,
      ArrowFunctionExpression: check,
    };
  },
};

const plugin: Deno.lint.Plugin = { name: "size", rules: { "function-lines": functionLines } };

export default plugin;
