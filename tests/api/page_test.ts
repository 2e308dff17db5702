import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { PAGE } from "~/api/io/page.ts";
import { assemblePage } from "~/api/page.ts";

const MARKUP = '<style></style><p>hi</p><script type="module"></script>';

Deno.test("assemblePage() names style and script by the digests of exactly their text", () => {
  const style = "p { color: red }";
  const script = "const price = '$& $1 $$';\n";
  const { html, contentPolicy } = assemblePage({ markup: MARKUP, style, script });
  assert.equal(html, `<style>${style}</style><p>hi</p><script type="module">${script}</script>`);
  for (const text of [style, script]) {
    const digest = createHash("sha256").update(text).digest("base64");
    assert.ok(contentPolicy.includes(`'sha256-${digest}'`));
  }
});

Deno.test.each(
  [
    { title: "no place for the style", markup: '<script type="module"></script>' },
    { title: "no place for the script", markup: "<style></style>" },
    { title: "two places for the style", markup: `<style></style>${MARKUP}` },
  ],
)("assemblePage() refuses a page with $title", ({ markup }) => {
  assert.throws(() => assemblePage({ markup, style: "", script: "" }), /Broken invariant/);
});

Deno.test("assemblePage() refuses a part that would end its element", () => {
  for (const text of ["</script>", "'</SCRIPT '", "</style>"]) {
    assert.throws(() => assemblePage({ markup: MARKUP, style: "", script: text }), /ends its/);
    assert.throws(() => assemblePage({ markup: MARKUP, style: text, script: "" }), /ends its/);
  }
});

Deno.test("PAGE allows nothing but its own parts and connections home", () => {
  const policy = PAGE.contentPolicy.split("; ");
  assert.ok(policy.includes("default-src 'none'"));
  assert.ok(policy.includes("connect-src 'self'"));
  assert.ok(policy.includes("frame-ancestors 'none'"));
  assert.ok(!/unsafe|\*|http/.test(PAGE.contentPolicy));
});

Deno.test("PAGE takes nothing from elsewhere and has no other inline code", () => {
  assert.ok(!/\b(?:src|href)="(?:https?:)?\/\//i.test(PAGE.html));
  assert.ok(!/@import|url\(/i.test(PAGE.html));
  assert.ok(!/<[^>]+ (?:on[a-z]+|style)=/i.test(PAGE.html.replace(/<script[\s\S]*<\/script>/, "")));
});

Deno.test("PAGE writes what comes from the node as text only", () => {
  assert.ok(
    !/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function/.test(
      PAGE.html,
    ),
  );
});

Deno.test("PAGE says its language, its width and a title, and labels its sections", () => {
  assert.match(PAGE.html, /<html lang="en">/);
  assert.match(PAGE.html, /<meta name="viewport" content="width=device-width/);
  assert.match(PAGE.html, /<title>mesh-llm<\/title>/);
  for (const [section] of PAGE.html.matchAll(/<section[^>]*>/g)) {
    assert.match(section, /aria-label/);
  }
  for (const [, id] of PAGE.html.matchAll(/aria-labelledby="([^"]+)"/g)) {
    assert.ok(PAGE.html.includes(`id="${id}"`), id);
  }
  for (const [, id] of PAGE.html.matchAll(/(?:byId|put|fill)\("([^"]+)"/g)) {
    if (id !== "uptime") assert.ok(PAGE.html.includes(`id="${id}"`), id);
  }
});
