import { testScenario } from "./story.ts";

// An hour at 1 % loss in which nothing happens: nobody is declared gone, and hardly anything is said.
testScenario("loss", { from: 1, to: 20, messagesMax: 12, bytesMax: 20_000 });
// Half an hour after a partition, tries come every half minute only.
testScenario("absence", { from: 1, to: 1, messagesMax: 40, bytesMax: 40_000 });
