/** The page of the management door as it is shipped. Its script runs in browsers, not here. */
import markup from "../page.html" with { type: "text" };
import style from "../page.css" with { type: "text" };
import { assemblePage, type Page } from "../page.ts";
import script from "./page.js" with { type: "text" };

/** The page; it holds no data, and asks `/api/events` for all that it shows. */
export const PAGE: Page = assemblePage({ markup, style, script });
