/** From the command to an answer, with the real engine and the starter model on disk. */
import { join } from "node:path";
import { NodeProcess, type NodeProcessOptions } from "#support/node_process.ts";
import { type Bar, type Figure, figureOf } from "./figures.ts";
import { HttpConnection } from "./http_client.ts";
import { realEngine } from "./program.ts";
import { chatRequest } from "./requests.ts";
import type { SectionContext } from "./section.ts";

const READY_BAR: Bar = { kind: "at-most", value: 5, holds: "max" };
const FIRST_TOKEN_BAR: Bar = { kind: "at-most", value: 3 };

interface StartTimes {
  readonly doorS: number;
  readonly readyS: number;
  readonly tokenS: number;
}

/** Measures starts: the first in an empty home, and the next in the same home. */
export async function measureStarts({ sizes, dir, tell }: SectionContext): Promise<Figure[]> {
  tell("start: making sure that engine and model are here");
  const options = await realEngine(dir);
  const firsts: StartTimes[] = [];
  const nexts: StartTimes[] = [];
  for (let start = 0; start < sizes.starts; start += 1) {
    tell(`start: ${start + 1} of ${sizes.starts}, empty home and again`);
    const homeDir = join(dir, `start-${start}`);
    await Deno.mkdir(homeDir);
    firsts.push(await timeStart({ ...options, homeDir }));
    nexts.push(await timeStart({ ...options, homeDir }));
  }
  const make = (name: string, values: readonly number[], bar?: Bar) =>
    figureOf(
      { section: "start", name, unit: "s", ...(bar === undefined ? {} : { bar }) },
      { values, samples: values.length },
    );
  return [
    make("first start, door open", firsts.map(({ doorS }) => doorS)),
    make("first start, ready", firsts.map(({ readyS }) => readyS), READY_BAR),
    make("first start, first token", firsts.map(({ tokenS }) => tokenS), FIRST_TOKEN_BAR),
    make("next start, ready", nexts.map(({ readyS }) => readyS), READY_BAR),
    make("next start, first token", nexts.map(({ tokenS }) => tokenS)),
  ];
}

async function timeStart(options: NodeProcessOptions): Promise<StartTimes> {
  const startMs = performance.now();
  const sinceS = (): number => (performance.now() - startMs) / 1000;
  await using node = await NodeProcess.start(options);
  const port = Number(new URL(await node.line("API: ")).port);
  const doorS = sinceS();
  const model = await node.line("Ready: ");
  const readyS = sinceS();
  await awaitToken(chatRequest({ port, model }, "stream"), port);
  return { doorS, readyS, tokenS: sinceS() };
}

/** Resolves when an event with text has come; the rest is not waited for. */
async function awaitToken(request: Uint8Array, port: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const decoder = new TextDecoder();
  let text = "";
  const connection = await HttpConnection.open(port);
  const whole = connection.exchange(request, (part) => {
    text += decoder.decode(part, { stream: true });
    if (text.includes('"content":"')) resolve();
  });
  try {
    await Promise.race([promise, whole]);
    if (!text.includes('"content":"')) throw new Error(`The answer has no text: ${text}`);
  } finally {
    connection[Symbol.dispose]();
    await whole.catch(() => {});
  }
}
