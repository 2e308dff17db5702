/**
 * One end of a bare link, without HTTP around it, as a process: `listen` prints where it is and serves streams
 * until its stdin ends; `dial WHERE BYTES ROUNDS` moves bytes each way and prints what that took.
 *
 * @module
 */
import { makeEphemeralLinkCert } from "~/mesh/io/link_cert.ts";
import { openQuicTransport } from "~/mesh/io/quic_transport.ts";
import type { PeerStream } from "~/mesh/link_ports.ts";
import { dialLink } from "~/mesh/make_link.ts";
import { Recorder, TestPeer } from "#support/link_peers.ts";
import type { BareLinkTimes } from "./link_process.ts";
import { realTime } from "#support/real_time.ts";

/** As an answer comes in pieces from an engine. */
const PIECE_BYTES = 64 * 1024;
/** Of streams that carry next to nothing. */
const SMALL_ROUNDS = 500;
const WARMUP_ROUNDS = 200;

async function openPeer(name: string): Promise<TestPeer> {
  const transport = openQuicTransport({
    cert: await makeEphemeralLinkCert(),
    hostname: "127.0.0.1",
  });
  return new TestPeer(name, { transport, time: realTime });
}

async function listen(): Promise<void> {
  const peer = await openPeer("far");
  const { port, leafHash } = peer.transport;
  const { nodeId } = peer;
  print(JSON.stringify({ port, leafHash, nodeId }));
  const link = await peer.accept();
  const recorder = new Recorder();
  link.start(recorder);
  for (;;) void serve(await recorder.nextStream()).catch(() => {});
}

/** Reads all, and answers with as many bytes as the head asks for. */
async function serve(stream: PeerStream): Promise<void> {
  const first = await stream.read();
  const wanted = first?.kind === "head" ? Number(first.head["bytes"]) : 0;
  while (await stream.read() !== undefined);
  await write(stream, wanted);
}

async function write(stream: PeerStream, sizeBytes: number): Promise<void> {
  const piece = new Uint8Array(PIECE_BYTES);
  for (let left = sizeBytes; left > 0; left -= PIECE_BYTES) {
    await stream.write({ kind: "data", bytes: piece.subarray(0, left) });
  }
  await stream.end();
}

async function dial(where: string, sizeBytes: number, rounds: number): Promise<void> {
  const { port, leafHash, nodeId } = JSON.parse(where);
  const peer = await openPeer("near");
  const { signal } = new AbortController();
  const connection = await peer.transport.dial({ ip: "127.0.0.1", port }, { leafHash, signal });
  const { link } = await dialLink(connection, { context: peer.context, expected: nodeId });
  link.start(new Recorder());
  const time = async (up: number, down: number): Promise<number> => {
    const startMs = performance.now();
    const stream = await link.openStream();
    void stream.write({ kind: "head", head: { bytes: down } });
    void write(stream, up).catch(() => {});
    let receivedBytes = 0;
    for (let frame = await stream.read(); frame !== undefined; frame = await stream.read()) {
      if (frame.kind === "data") receivedBytes += frame.bytes.length;
    }
    if (receivedBytes !== down) throw new Error(`${receivedBytes} bytes came, wanted ${down}`);
    return performance.now() - startMs;
  };
  const times: { -readonly [name in keyof BareLinkTimes]: number[] } = {
    smallMs: [],
    upMs: [],
    downMs: [],
  };
  for (let round = 0; round < WARMUP_ROUNDS; round += 1) await time(300, 300);
  for (let round = 0; round < SMALL_ROUNDS; round += 1) times.smallMs.push(await time(300, 300));
  await time(sizeBytes, sizeBytes);
  for (let round = 0; round < rounds; round += 1) {
    times.upMs.push(await time(sizeBytes, 0));
    times.downMs.push(await time(0, sizeBytes));
  }
  print(JSON.stringify(times));
  link.close("leaving");
  await link.gone;
  await peer.transport.close();
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function endWithStdin(): Promise<void> {
  const buffer = new Uint8Array(64);
  while (await Deno.stdin.read(buffer) !== null);
  Deno.exit(0);
}

if (import.meta.main) {
  const [role, where = "", sizeBytes, rounds] = Deno.args;
  if (role === "dial") await dial(where, Number(sizeBytes), Number(rounds));
  else {
    void endWithStdin();
    await listen();
  }
}
