/** Durations as people write them on a command line: "30m", "12h", "7d". */

const SECONDS_OF: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
};

/** A whole number of at most nine digits, and one unit. */
const DURATION = /^([0-9]{1,9})([smhdw])$/;

/** What {@link parseDurationS} takes, for messages about what it does not. */
export const DURATION_FORM = "a whole number with s, m, h, d or w behind it, such as 12h or 7d";

/** The duration in seconds; undefined when `text` is not {@link DURATION_FORM}. */
export function parseDurationS(text: string): number | undefined {
  const parts = DURATION.exec(text);
  const unitS = SECONDS_OF[parts?.[2] ?? ""];
  return unitS === undefined ? undefined : Number(parts?.[1]) * unitS;
}

/** A duration in the largest unit that says enough: "6 d", "3 h", "5 min", "12 s". */
export function formatDurationS(durationS: number): string {
  const steps = [["d", 86_400], ["h", 3600], ["min", 60]] as const;
  const step = steps.find(([, unitS]) => durationS >= unitS);
  const [unit, unitS] = step ?? ["s", 1];
  return `${Math.floor(durationS / unitS)} ${unit}`;
}
