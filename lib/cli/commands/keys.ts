/** Commands about keys in the home, which need no running node: `rotate-key`, `mesh-key export`. */
import { join } from "node:path";
import { UserError } from "~/base/errors.ts";
import { statIfAny } from "~/base/io/files.ts";
import { HomeInUseError, openRunDir, type RunDir } from "~/engine/io/run_dir.ts";
import { rotateLinkCert } from "~/mesh/io/link_cert.ts";
import { exportMeshKey } from "~/mesh/io/mesh_key.ts";
import type { CommandContext } from "../context.ts";
import { jsonText } from "../json_text.ts";

/** Makes a new certificate for the peer links of this home. */
export async function rotateKey(context: CommandContext): Promise<number> {
  const { homeDir } = context;
  if (await statIfAny(join(homeDir, "key")) === undefined) {
    throw new UserError(`Cannot change a certificate: no node was ever started on ${homeDir}`);
  }
  const held = await holdHome(homeDir);
  try {
    const { leafHash } = await rotateLinkCert(homeDir);
    context.print(
      context.isJson
        ? jsonText({ leafHash })
        : `Made a new certificate for peer links, SHA-256 ${leafHash}`,
    );
  } finally {
    await held.close();
  }
  context.tell(
    "Tokens from before name the old certificate: where this node alone lets others in, make new " +
      "ones with mesh-llm invite",
  );
  return 0;
}

/** No node may start meanwhile: it would show one certificate and tell of another. */
async function holdHome(homeDir: string): Promise<RunDir> {
  try {
    return await openRunDir(homeDir);
  } catch (error) {
    if (!(error instanceof HomeInUseError)) throw error;
    throw new UserError(
      `Cannot change the certificate while a node runs on ${homeDir}, process ${error.pid}: end it ` +
        'with "mesh-llm stop" first',
    );
  }
}

/** Prints the private key of the mesh that began in this home. */
export async function printMeshKey(context: CommandContext): Promise<number> {
  const { meshId, pem } = await exportMeshKey(context.homeDir);
  context.tell(
    `Whoever has this key rules mesh ${meshId}: keep it where nobody else can read it. ` +
      "As the file mesh-key of another home, mode 600, it is the same mesh there",
  );
  context.print(context.isJson ? jsonText({ meshId, pem }) : pem.trimEnd());
  return 0;
}
