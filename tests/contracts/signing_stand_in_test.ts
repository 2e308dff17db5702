import { standInId, standInSigner, standInVerifier } from "#support/stand_in_signer.ts";
import { testSigning } from "./signing_contract.ts";

let made = 0;

testSigning("standInVerifier", {
  verifier: standInVerifier,
  makeSigner: () => Promise.resolve(standInSigner(standInId(made++))),
});
