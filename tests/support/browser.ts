/**
 * A real browser for tests of pages: the Chromium of the system, without a window, with a profile of
 * its own that is thrown away.
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where Debian's package puts it; another one can be named for other systems. */
const CHROMIUM = Deno.env.get("CHROMIUM_PATH") ?? "/usr/bin/chromium";
/** How long a page may take to show what a test waits for; it only ever fails a test. */
const PATIENCE_MS = 60_000;
/** Starting takes a second, or many on a machine that is busy with other tests. */
const START_MS = 60_000;

const ARGS = [
  // Tests run in containers, often as root, where the sandbox cannot start.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A page, and what went wrong in it. */
export interface TestPage {
  readonly page: Page;
  /** Errors that the page threw or its console showed, failed connections excepted. */
  readonly errors: readonly string[];
}

/** Opens a fresh browser with one empty page, runs `use`, and closes everything. */
export async function withPage(
  use: (test: TestPage) => Promise<void>,
  options: BrowserContextOptions = {},
): Promise<void> {
  // A new temporary profile is made and removed with the browser.
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: ARGS,
    timeout: START_MS,
  });
  try {
    await use(await openPage(browser, options));
  } finally {
    await browser.close();
  }
}

async function openPage(browser: Browser, options: BrowserContextOptions): Promise<TestPage> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // What a node that is gone makes the browser say; the page has its own words for it.
    if (/net::ERR_|Failed to load resource/.test(message.text())) return;
    errors.push(message.text());
  });
  return { page, errors };
}
