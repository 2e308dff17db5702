import type { TestedRange } from "./native.ts";

const UPSTREAM_REGEXP = /^(?:\d+:)?v?(\d{1,6}(?:\.\d{1,6}){0,3})(?:[^\d.:].*)?$/;

/**
 * The upstream part of a package version: "0.7.0" of "1:0.7.0+dfsg-2". Undefined when it does not
 * begin with numbers.
 */
export function upstreamVersion(version: string): string | undefined {
  return UPSTREAM_REGEXP.exec(version)?.[1];
}

/** Orders versions of numbers and dots: negative when `a` is older. Missing numbers count as 0. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True when a version lies within the range that was tested. */
export function isVersionTested(version: string, range: TestedRange): boolean {
  return compareVersions(version, range.minVersion) >= 0 &&
    compareVersions(version, range.belowVersion) < 0;
}
