import { jwsSigner, JwsVerifier } from "~/mesh/io/jws.ts";
import { makeEphemeralNodeKey } from "~/mesh/io/node_key.ts";
import { testSigning } from "./signing_contract.ts";

testSigning("JwsVerifier", {
  verifier: new JwsVerifier(),
  makeSigner: async () => {
    const { nodeId, privateKey } = await makeEphemeralNodeKey();
    return jwsSigner(nodeId, privateKey);
  },
});
