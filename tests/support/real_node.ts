import { join } from "node:path";
import { ensureTestEngine, TEST_HOME } from "./engine.ts";
import { ensureTestModel, TEST_MODELS_DIR } from "./model.ts";
import { NodeProcess } from "./node_process.ts";

/**
 * Starts the program on a fresh home that shares the tests' engine and models, as if both had been
 * fetched by an earlier start. The caller disposes of the stack, which ends the node.
 */
export async function startRealNode(
  stack: AsyncDisposableStack,
  args: readonly string[] = [],
): Promise<NodeProcess> {
  await Promise.all([ensureTestEngine(), ensureTestModel()]);
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-real-" });
  stack.defer(() => Deno.remove(homeDir, { recursive: true }));
  await Deno.symlink(join(TEST_HOME, "engine"), join(homeDir, "engine"));
  const env = { MESH_LLM_MODELS_DIR: TEST_MODELS_DIR };
  return stack.use(await NodeProcess.start({ args, env, homeDir }));
}
