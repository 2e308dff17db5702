/** What every part of the bench is given. */
import type { Figure } from "./figures.ts";
import type { Sizes } from "./options.ts";

/** The bench, as seen by one of its parts. */
export interface SectionContext {
  readonly sizes: Sizes;
  /** A folder for files; removed at the end. */
  readonly dir: string;
  /** Says on stderr what is going on. */
  readonly tell: (line: string) => void;
}

/** Measures and returns figures. */
export type RunSection = (context: SectionContext) => Promise<Figure[]>;
