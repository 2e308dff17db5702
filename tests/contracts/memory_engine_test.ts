import { MemoryProcesses } from "#support/memory_engine.ts";
import { testEngineProcesses } from "./engine_processes.ts";

testEngineProcesses("MemoryProcesses", async (use) => {
  const processes = new MemoryProcesses();
  processes.onSpawn = (process) => {
    const program = process.order.command;
    if (program === "stubborn") process.ignored = ["SIGTERM"];
    // Like a real process, it says nothing before its starter has it.
    queueMicrotask(() => {
      if (program !== "talker") return process.print("ready");
      for (const line of ["one", "two", "three"]) process.print(line);
      process.end({ code: 3 });
    });
  };
  await use({
    processes: {
      spawn: (order) =>
        order.command === "missing"
          ? Promise.reject(new Error("No such program"))
          : processes.spawn(order),
    },
    order: (program) => ({ command: program, args: [] }),
    mayQuote: () => {
      processes.latest.print("my diary");
      processes.latest.end({ code: 0 });
      return Promise.resolve();
    },
  });
});
