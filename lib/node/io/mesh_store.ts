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

/** Keeps the mesh in `<home>/mesh.json` and `<home>/mesh-key`. */
export function homeMeshStore(homeDir: string): MeshStore {
  return {
    async load(): Promise<MeshMemory | undefined> {
      const { memory, problem } = await readMeshFile(homeDir);
      if (problem !== undefined) log.warn("{problem}", { problem });
      return memory;
    },
    save: (memory) => writeMeshFile(homeDir, memory),
    clear: () => removeIfAny(join(homeDir, "mesh.json")),
    meshKey: () => loadMeshKey(homeDir),
    ensureMeshKey: () => ensureMeshKey(homeDir),
  };
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
