/** A node's place in a mesh, for tests of nodes that are in none. */
import type { MeshFacts, MeshPort } from "~/node/mesh/mesh_desk.ts";

/** In no mesh; counts how often it is told of changes. */
export class NoMesh implements MeshPort {
  readonly life = undefined;
  readonly invite = undefined;
  readonly port = 4433;
  changes = 0;

  changed(): void {
    this.changes += 1;
  }

  join(): ReturnType<MeshPort["join"]> {
    return Promise.reject(new Error("This test has no mesh to join"));
  }
}

/** What the status says of it. */
export const NO_MESH_FACTS: MeshFacts = {
  meshId: null,
  token: null,
  inviteSerial: null,
  peerPort: 4433,
  clients: 0,
  isClient: false,
  peers: [],
  elsewhere: new Map(),
};
