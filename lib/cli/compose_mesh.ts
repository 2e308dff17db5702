/** Puts together the node's part in a mesh: its key, its socket, and what it keeps. */
import { Buffer } from "node:buffer";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "~/base/errors.ts";
import { systemClock, systemRng, systemSecrets, systemTimers } from "~/base/io/system.ts";
import { VERSION } from "~/base/version.ts";
import { jwsSigner, JwsVerifier } from "~/mesh/io/jws.ts";
import { type LinkCert, loadLinkCert, makeEphemeralLinkCert } from "~/mesh/io/link_cert.ts";
import { loadNodeKey, makeEphemeralNodeKey } from "~/mesh/io/node_key.ts";
import { openQuicTransport } from "~/mesh/io/quic_transport.ts";
import type { Transport } from "~/mesh/transport.ts";
import { interfaceAddresses, resolveAdvertised } from "~/node/io/addresses.ts";
import { homeMeshStore, throwAwayMeshStore } from "~/node/io/mesh_store.ts";
import type { LocalFacts } from "~/node/mesh/mesh_life.ts";
import { type MeshEvents, MeshRuntime, type MeshStore } from "~/node/mesh/mesh_runtime.ts";
import type { NodeSettings } from "~/node/settings.ts";

const log = getLogger(["mesh-llm", "cli"]);

const SESSION_BYTES = 12;

/** A node's part in a mesh. */
export interface ComposedMesh {
  readonly nodeId: string;
  readonly runtime: MeshRuntime;
}

/** The port that was asked for; else that of the last start, where others look for this node; else any. */
async function bind(cert: LinkCert, wanted: number, store: MeshStore): Promise<Transport> {
  const last = wanted === 0 ? (await store.load())?.port : undefined;
  if (last === undefined) return openQuicTransport({ cert, port: wanted });
  try {
    return openQuicTransport({ cert, port: last });
  } catch (error) {
    log.debug("Cannot have the port of the last start: {reason}", { reason: messageOf(error) });
    return openQuicTransport({ cert });
  }
}

/**
 * Binds the UDP socket; no mesh is joined or begun yet.
 *
 * @throws {UserError} when a key cannot be used, the port is taken, or an advertised name means nothing
 */
export async function composeMesh(
  settings: NodeSettings,
  { facts, events }: { readonly facts: () => LocalFacts; readonly events: MeshEvents },
): Promise<ComposedMesh> {
  const { homeDir, isEphemeral, bindPort, isClient, isClosed } = settings;
  const key = isEphemeral ? await makeEphemeralNodeKey() : await loadNodeKey(homeDir);
  const cert = isEphemeral ? await makeEphemeralLinkCert() : await loadLinkCert(homeDir);
  const store = isEphemeral ? throwAwayMeshStore() : homeMeshStore(homeDir);
  const transport = await bind(cert, bindPort, store);
  const { port } = transport;
  const advertised = await Promise.all(
    settings.advertise.map((text) => resolveAdvertised(text, port)),
  ).catch(async (error) => {
    await transport.close();
    throw error;
  });
  const runtime = new MeshRuntime({
    self: {
      nodeId: key.nodeId,
      session: Buffer.from(systemSecrets.bytes(SESSION_BYTES)).toString("base64url"),
      version: VERSION,
    },
    signer: jwsSigner(key.nodeId, key.privateKey),
    verifier: new JwsVerifier(),
    transport,
    secrets: systemSecrets,
    rng: systemRng,
    clock: systemClock,
    timers: systemTimers,
    advertised: advertised.flat(),
    interfaces: interfaceAddresses,
    facts,
    isClient,
    isClosed,
    store,
    events,
  });
  return { nodeId: key.nodeId, runtime };
}
