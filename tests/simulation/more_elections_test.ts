import { testElection } from "./election_story.ts";

testElection("election-story", { from: 11, to: 20, bytesMax: 80_000 });
// Models that are used one after another on few machines: the last gives way to the next after an hour.
testElection("election-hours", { from: 1, to: 3, bytesMax: 10_000 });
// Here a host was dropped while demand for it had just begun to rise, and loaded again at once.
testElection("election-demand", { from: 1, to: 1, bytesMax: 80_000 });
