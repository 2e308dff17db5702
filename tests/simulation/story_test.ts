import { testScenario } from "./story.ts";

// Everything that happens to a mesh in a few minutes, one after another: far more than in life.
testScenario("story", { from: 1, to: 10, messagesMax: 2_500, bytesMax: 1_500_000 });
