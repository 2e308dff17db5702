/** Names of split models: "<stem>-00001-of-00003.gguf". */

const SPLIT_REGEXP = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** What the name of a part says. Numbers count from 1. */
export interface SplitName {
  readonly stem: string;
  readonly part: number;
  readonly parts: number;
}

/** Reads the name of a part; undefined for files that are whole or whose numbers make no sense. */
export function parseSplitName(fileName: string): SplitName | undefined {
  const match = SPLIT_REGEXP.exec(fileName);
  if (match === null) return undefined;
  const [part, parts] = [Number(match[2]), Number(match[3])];
  if (part < 1 || parts < 1 || part > parts) return undefined;
  return { stem: match[1] ?? "", part, parts };
}

/** The names of all parts, first to last; just the name itself for a file that is whole. */
export function partNames(fileName: string): string[] {
  const split = parseSplitName(fileName);
  if (split === undefined) return [fileName];
  const five = (value: number) => String(value).padStart(5, "0");
  return Array.from(
    { length: split.parts },
    (_, index) => `${split.stem}-${five(index + 1)}-of-${five(split.parts)}.gguf`,
  );
}
