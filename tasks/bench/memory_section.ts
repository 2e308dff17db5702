/** What the program takes when nobody asks for anything, and after many did. Its own process, no engine. */
import { type Bar, type Figure, figureOf } from "./figures.ts";
import { LoadProcess } from "./load_process.ts";
import { cpuMsBetween, readMemory, readThreadTimes } from "./proc.ts";
import { Program, trivialEngine } from "./program.ts";
import type { SectionContext } from "./section.ts";

const IDLE_BAR: Bar = { kind: "at-most", value: 120, holds: "max" };
const IDLE_CPU_BAR: Bar = { kind: "at-most", value: 1 };

/** Time after the start that is not counted as idle: compilers and collectors still work. */
const SETTLE_MS = 2_000;
const CLIENTS = 64;

interface Reading {
  readonly idleMib: number;
  readonly idleCpuPercent: number;
  readonly afterMib: number;
  readonly laterMib: number;
  readonly peakMib: number;
}

/** Measures memory and idle time on the CPU. */
export async function measureMemory({ sizes, dir, tell }: SectionContext): Promise<Figure[]> {
  const readings: Reading[] = [];
  for (let process = 0; process < sizes.processes; process += 1) {
    tell(`memory: process ${process + 1} of ${sizes.processes}`);
    readings.push(await measureOnce(dir, sizes));
  }
  const make = (name: string, unit: string, take: (reading: Reading) => number, bar?: Bar) =>
    figureOf(
      { section: "memory", name, unit, ...(bar === undefined ? {} : { bar }) },
      { values: readings.map(take), samples: readings.length },
    );
  return [
    make("resident, idle", "MiB", ({ idleMib }) => idleMib, IDLE_BAR),
    make("CPU, idle", "% of a core", ({ idleCpuPercent }) => idleCpuPercent, IDLE_CPU_BAR),
    make(`resident, after load of ${CLIENTS} clients`, "MiB", ({ afterMib }) => afterMib),
    make("resident, some seconds later", "MiB", ({ laterMib }) => laterMib),
    make("resident, peak", "MiB", ({ peakMib }) => peakMib),
  ];
}

async function measureOnce(
  dir: string,
  { idleMs, loadMs }: { readonly idleMs: number; readonly loadMs: number },
): Promise<Reading> {
  await using program = await Program.start(await trivialEngine(dir));
  await using load = new LoadProcess();
  await pause(SETTLE_MS);
  const before = readThreadTimes(program.pid);
  const startMs = performance.now();
  await pause(idleMs);
  const idleCpuPercent = 100 * cpuMsBetween(before, readThreadTimes(program.pid)) /
    (performance.now() - startMs);
  const idle = await readMemory(program.pid);
  for (const shape of ["small", "stream"] as const) {
    const common = { kind: "throughput", target: program.api, clients: CLIENTS } as const;
    await load.run({ ...common, shape, durationMs: loadMs, cpuPids: [program.pid] });
  }
  const after = await readMemory(program.pid);
  await pause(idleMs);
  const later = await readMemory(program.pid);
  return {
    idleCpuPercent,
    idleMib: toMib(idle.residentBytes),
    afterMib: toMib(after.residentBytes),
    laterMib: toMib(later.residentBytes),
    peakMib: toMib(later.peakBytes),
  };
}

function toMib(bytes: number): number {
  return bytes / (1024 * 1024);
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
