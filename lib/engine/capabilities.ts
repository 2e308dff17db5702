/** Reads what llama.cpp's programs say about themselves. Pure; the texts come from `io/inspect.ts`. */
import type { EngineDevice } from "./install.ts";
import { MIB } from "../base/units.ts";

/** Longest text looked at: the help of 0.7.0 has 60 KB. */
const TEXT_CHARS_MAX = 512 * 1024;
/** Lines looked at: the help of 0.7.0 has 744. */
const LINES_MAX = 10_000;
/** A machine with more accelerators than this is beyond llama.cpp itself (GGML_CUDA_MAX_DEVICES is 16). */
const DEVICES_MAX = 64;
/** Column where help texts stand; flags start at the margin. */
const FLAG_LINE = /^-/;
/** How a flag that no longer works is described: it is an error to pass one. */
const REMOVED = /^the argument has been removed\b/;

function linesOf(text: string): string[] {
  return text.slice(0, TEXT_CHARS_MAX).split(/\r?\n/, LINES_MAX);
}

/** What `--version` tells. */
export interface EngineVersion {
  readonly version?: string;
  readonly build?: number;
  readonly commit?: string;
}

/**
 * Reads the output of `--version`: "version: 0.7.0 (build 11669, commit Debian)", or of older builds
 * "version: 6000 (abcdef0)", where the number is the build.
 */
export function parseVersion(text: string): EngineVersion {
  for (const line of linesOf(text)) {
    const named = /^version: (\d[\w.+~-]{0,40}) \(build (\d{1,9}), commit ([\w.+-]{1,64})\)/.exec(
      line,
    );
    if (named !== null) {
      return { version: named[1] ?? "", build: Number(named[2]), commit: named[3] ?? "" };
    }
    const plain = /^version: (\d{1,9}) \(([\w.+-]{1,64})\)/.exec(line);
    if (plain !== null) return { build: Number(plain[1]), commit: plain[2] ?? "" };
  }
  return {};
}

/** Reads from `--help` every flag that can be passed, each spelling; removed ones are left out. */
export function parseFlags(help: string): ReadonlySet<string> {
  const flags = new Set<string>();
  let spellings: string[] = [];
  let isRemoved = false;
  const flush = () => {
    if (!isRemoved) { for (const spelling of spellings) flags.add(spelling); }
    spellings = [];
    isRemoved = false;
  };
  for (const line of linesOf(help)) {
    if (FLAG_LINE.test(line)) {
      flush();
      const { names, description } = splitFlagLine(line);
      spellings = names;
      isRemoved = REMOVED.test(description);
    } else if (REMOVED.test(line.trim())) {
      isRemoved = true;
    }
  }
  flush();
  return flags;
}

/** "-c,    --ctx-size N      size of …" is names up to the value, then two spaces, then a text. */
function splitFlagLine(line: string): { names: string[]; description: string } {
  const names: string[] = [];
  const spelling = /^(-{1,2}[A-Za-z][\w.-]*)(, *| +|$)/;
  let rest = line;
  for (let match = spelling.exec(rest); match !== null; match = spelling.exec(rest)) {
    names.push(match[1] ?? "");
    rest = rest.slice(match[0].length);
    if (!(match[2] ?? "").startsWith(",")) break;
  }
  const gap = / {2,}(\S.*)$/.exec(line.slice(line.length - rest.length - 2));
  return { names, description: gap?.[1] ?? rest };
}

/** Reads the devices of `--list-devices`: "  CUDA0: NVIDIA … (24105 MiB, 23000 MiB free)". */
export function parseDevices(text: string): readonly EngineDevice[] {
  const devices: EngineDevice[] = [];
  for (const line of linesOf(text)) {
    const match = /^\s+([A-Za-z][\w.-]{0,63}): (.{0,256}) \((\d{1,9}) MiB, (\d{1,9}) MiB free\)\s*$/
      .exec(line);
    if (match === null) continue;
    devices.push({
      name: match[1] ?? "",
      description: (match[2] ?? "").trim(),
      totalBytes: Number(match[3]) * MIB,
      freeBytes: Number(match[4]) * MIB,
    });
    if (devices.length === DEVICES_MAX) break;
  }
  return devices;
}

/** Reads the version of the RPC protocol from the first words of an RPC server. */
export function parseRpcVersion(text: string): string | undefined {
  for (const line of linesOf(text)) {
    const match = /^Starting RPC server v(\d{1,5}\.\d{1,5}\.\d{1,5})\b/.exec(line.trim());
    if (match !== null) return match[1];
  }
  return undefined;
}
