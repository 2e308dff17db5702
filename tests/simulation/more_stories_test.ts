import { testScenario } from "./story.ts";

testScenario("story", { from: 11, to: 20, messagesMax: 2_500, bytesMax: 1_500_000 });
