import { join } from "node:path";

/** Runs `use` with the path of a home that does not exist yet, and removes whatever it left. */
export async function withTempHome(use: (homeDir: string) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "mesh-llm-home-" });
  try {
    await use(join(parent, "home"));
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
