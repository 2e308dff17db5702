import { testElection } from "./election_story.ts";

// Demand that moves, deaths, farewells, a partition that heals: everything has a host within 10 s, nothing swings.
testElection("election-story", { from: 1, to: 10, bytesMax: 80_000 });
