import { openLinkUpstream, openPeerUpstream } from "#support/peer_fixture.ts";
import { testUpstreamContract } from "./upstream_contract.ts";

testUpstreamContract("PeerUpstream", openPeerUpstream);
testUpstreamContract("PeerUpstream over a link", openLinkUpstream);
