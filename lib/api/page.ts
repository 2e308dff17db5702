/** Making the page of the management door, and the policy that lets nothing but its own text run. */
import { createHash } from "node:crypto";
import { assert } from "~/base/errors.ts";

/** A page with everything in it. */
export interface Page {
  readonly html: string;
  /** Its `content-security-policy`. */
  readonly contentPolicy: string;
}

/** Sent with everything that is not the page: nothing in it is to be run or framed. */
export const BARE_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'";

const STYLE_PLACE = "<style></style>";
const SCRIPT_PLACE = '<script type="module"></script>';

/**
 * Puts style and script into their places, so that the page is one answer without a build step. Its
 * policy (CSP level 3) names exactly these two by digest, and connections to where the page came
 * from: text that got into the page by mistake could neither run nor send anything away.
 */
export function assemblePage(
  parts: { readonly markup: string; readonly style: string; readonly script: string },
): Page {
  const { markup, style, script } = parts;
  assert(markup.split(STYLE_PLACE).length === 2, "the page has one place for its style");
  assert(markup.split(SCRIPT_PLACE).length === 2, "the page has one place for its script");
  assert(!/<\/(?:style|script)/i.test(style + script), "no part of the page ends its element");
  // A function as replacement: `$` in the text means nothing then.
  const html = markup
    .replace(STYLE_PLACE, () => `<style>${style}</style>`)
    .replace(SCRIPT_PLACE, () => `<script type="module">${script}</script>`);
  const contentPolicy = [
    "default-src 'none'",
    `script-src '${digestOf(script)}'`,
    `style-src '${digestOf(style)}'`,
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  return { html, contentPolicy };
}

function digestOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
