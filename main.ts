import { main } from "~/cli/main.ts";

if (import.meta.main) await main();
