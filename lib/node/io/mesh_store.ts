/** Where a node keeps its mesh: in its home, or, for a throw-away node, in memory. */
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { removeIfAny } from "~/base/io/files.ts";
import { readMeshFile, writeMeshFile } from "~/mesh/io/mesh_file.ts";
import { ensureMeshKey, loadMeshKey, makeEphemeralMeshKey } from "~/mesh/io/mesh_key.ts";
import type { MeshMemory } from "~/mesh/mesh_memory.ts";
import type { Signer } from "~/mesh/signing.ts";
import type { MeshStore } from "../mesh/mesh_runtime.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/**
 * Keeps the mesh in `<home>/mesh.json` and `<home>/mesh-key`. The file is read once: nobody else writes into the home
 * of a node that runs.
 */
export function homeMeshStore(homeDir: string): MeshStore {
  let kept: Promise<MeshMemory | undefined> | undefined;
  return {
    load: () => kept ??= read(homeDir),
    async save(memory: MeshMemory): Promise<void> {
      await writeMeshFile(homeDir, memory);
      kept = Promise.resolve(memory);
    },
    async clear(): Promise<void> {
      await removeIfAny(join(homeDir, "mesh.json"));
      kept = Promise.resolve(undefined);
    },
    meshKey: () => loadMeshKey(homeDir),
    ensureMeshKey: () => ensureMeshKey(homeDir),
  };
}

async function read(homeDir: string): Promise<MeshMemory | undefined> {
  const { memory, problem } = await readMeshFile(homeDir);
  if (problem !== undefined) log.warn("{problem}", { problem });
  return memory;
}

/** Keeps nothing beyond the process, and does not look at what the home has. */
export function throwAwayMeshStore(): MeshStore {
  let key: Signer | undefined;
  return {
    load: () => Promise.resolve(undefined),
    save: () => Promise.resolve(),
    clear: () => Promise.resolve(),
    meshKey: () => Promise.resolve(key),
    ensureMeshKey: async () => key ??= await makeEphemeralMeshKey(),
  };
}
