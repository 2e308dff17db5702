/** `mesh-llm engine`: which llama.cpp is used, from where; `engine install` fetches one now. */
import type { EngineFacts, EngineInstall } from "~/engine/install.ts";
import { formatBytes } from "~/base/units.ts";
import { localEngineSource } from "~/node/io/engine_source.ts";
import type { PreparedEngine } from "~/node/ports.ts";
import type { CommandContext } from "../context.ts";
import { jsonText } from "../json_text.ts";

/** Flags of the command. */
export interface EngineFlags {
  readonly step?: "install" | undefined;
  readonly binDir?: string | undefined;
}

/** Finds an engine and tells about it; with `install` it is fetched where there is none. */
export async function engine(context: CommandContext, flags: EngineFlags): Promise<number> {
  const { install, facts } = await prepareEngine(context, {
    binDir: flags.binDir,
    allowDownload: flags.step === "install",
  });
  context.print(
    context.isJson ? jsonText(toJson(install, facts)) : formatEngine(install, facts),
  );
  return 0;
}

/**
 * The engine that a node of this home would use, as far as it is here already or may be fetched.
 *
 * @throws {UserError} when there is none
 */
export async function prepareEngine(
  context: CommandContext,
  options: { readonly binDir?: string | undefined; readonly allowDownload?: boolean } = {},
): Promise<PreparedEngine> {
  const { homeDir, env, config, report, onSourceFailure } = context;
  const { allowDownload = false } = options;
  const binDir = options.binDir ?? env("MESH_LLM_BIN_DIR") ?? config.binDir;
  const source = localEngineSource({
    homeDir,
    allowDownload,
    ...(binDir === undefined || binDir === "" ? {} : { binDir }),
  });
  return await source.prepare({
    report,
    onSourceFailure: allowDownload ? onSourceFailure : () => {},
    signal: new AbortController().signal,
  });
}

function toJson(install: EngineInstall, facts: EngineFacts): object {
  const { flags: _, ...rest } = facts;
  return { ...rest, origin: install.origin, source: install.source, dir: install.dir };
}

/** Facts for people, one a line; what the engine does not tell says so. */
export function formatEngine(install: EngineInstall, facts: EngineFacts): string {
  const unknown = "unknown";
  const devices = facts.devices.map(({ name, description, totalBytes, freeBytes }) =>
    `${name}: ${description}, ${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}`
  );
  const lines = [
    ["Source", install.source],
    ["Folder", install.dir],
    ["Version", facts.version ?? unknown],
    ["Build", facts.build ?? unknown],
    ["Commit", facts.commit ?? unknown],
    ["RPC", facts.rpcVersion ?? (install.rpcServer === undefined ? "no RPC server" : unknown)],
    ["Devices", devices.length === 0 ? "none: computes on the CPU" : devices.join("\n          ")],
  ];
  return lines.map(([name, value]) => `${`${name}:`.padEnd(10)}${value}`).join("\n");
}
