import { openMemoryUpstream } from "#support/memory_upstream.ts";
import { testUpstreamContract } from "./upstream_contract.ts";

testUpstreamContract("MemoryUpstream", openMemoryUpstream);
