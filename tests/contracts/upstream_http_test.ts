import { openHttpUpstream } from "#support/scripted_engine.ts";
import { testUpstreamContract } from "./upstream_contract.ts";

testUpstreamContract("HttpUpstream", openHttpUpstream);
