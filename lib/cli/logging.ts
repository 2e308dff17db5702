/** The one place that configures logs: text for people, JSON lines for machines, on stderr. */
import { configure, getJsonLinesFormatter, getTextFormatter } from "@logtape/logtape";
import type { LogLevel, LogRecord, Sink, TextFormatter } from "@logtape/logtape";
import {
  DEFAULT_REDACT_FIELDS,
  JWT_PATTERN,
  redactByField,
  redactByPattern,
} from "@logtape/redaction";

/** What replaces a secret. */
const REDACTED = "[redacted]";
/** Anything that stands where a bearer key stands. */
const BEARER_PATTERN = {
  pattern: /\b(bearer|x-api-key:?)\s+[\w.~+/=-]{6,}/gi,
  replacement: `$1 ${REDACTED}`,
} as const;
/** Fields that hold prompts or answers must not be logged at all; this is the second lock. */
const CONTENT_FIELDS = [/^(prompt|messages|content|completion|body)$/i];

/** How logs are written. */
export interface LoggingOptions {
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** Receives one finished line at a time, its line end included. */
  readonly write: (line: string) => void;
}

/** Builds the sink: formats, redacts, writes. */
function logSink({ format, write }: Pick<LoggingOptions, "format" | "write">): Sink {
  const formatter = redactByPattern(
    format === "json" ? getJsonLinesFormatter({ properties: "flatten" }) : textFormatter(),
    [JWT_PATTERN, BEARER_PATTERN],
  );
  return redactByField((record: LogRecord) => write(formatter(record)), {
    fieldPatterns: [...DEFAULT_REDACT_FIELDS, ...CONTENT_FIELDS],
    action: () => REDACTED,
  });
}

function textFormatter(): TextFormatter {
  return getTextFormatter({
    timestamp: "time",
    level: "full",
    category: (category) => category.slice(1).join("/") || category.join("/"),
    value: "bare",
    format: ({ timestamp, level, category, message }) =>
      `${timestamp} ${level.toLowerCase().padEnd(7)} ${category}: ${message}`,
  });
}

/** Sends all logs of the program to `write` from now on. */
export async function configureLogging(options: LoggingOptions): Promise<void> {
  await configure({
    reset: true,
    sinks: { stderr: logSink(options) },
    loggers: [
      { category: ["mesh-llm"], lowestLevel: options.level, sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
}
