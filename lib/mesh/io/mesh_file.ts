/** `<home>/mesh.json`, mode 0600: what a node remembers of its mesh. It is a help, never a condition for a start. */
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { ensureDir, readTextIfAny, writeFileAtomic } from "../../base/io/files.ts";
import { decodeMemory, encodeMemory, MEMORY_BYTES_MAX, type MeshMemory } from "../mesh_memory.ts";

/** What was found. */
export interface FoundMemory {
  /** Undefined when there is none, or none that can be read. */
  readonly memory: MeshMemory | undefined;
  /** One sentence for the log when the file could not be used. */
  readonly problem: string | undefined;
}

/** Reads the memory of a home. A damaged file is moved aside, so that nothing is lost. Never throws. */
export async function readMeshFile(homeDir: string): Promise<FoundMemory> {
  const path = pathOf(homeDir);
  try {
    const text = await readTextIfAny(path, MEMORY_BYTES_MAX);
    const memory = text === undefined ? undefined : decodeMemory(text);
    if (text === undefined || memory !== undefined) return { memory, problem: undefined };
    return { memory: undefined, problem: await putAside(path, "it is damaged") };
  } catch (error) {
    return { memory: undefined, problem: await putAside(path, messageOf(error)) };
  }
}

/** Writes the memory of a home. */
export async function writeMeshFile(homeDir: string, memory: MeshMemory): Promise<void> {
  await ensureDir(homeDir, 0o700);
  await writeFileAtomic(pathOf(homeDir), encodeMemory(memory), { mode: 0o600 });
}

async function putAside(path: string, why: string): Promise<string> {
  const aside = `${path}.broken`;
  const cannot = `Cannot read what this node knows of its mesh from ${path}: ${why}`;
  try {
    await Deno.rename(path, aside);
    return `${cannot}; the file is kept as ${aside}`;
  } catch (error) {
    return `${cannot}; and it cannot be moved aside: ${messageOf(error)}`;
  }
}

function pathOf(homeDir: string): string {
  return join(homeDir, "mesh.json");
}
