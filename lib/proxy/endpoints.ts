/** What of a request means something to an engine: its path and a few headers. */

/** Paths that go to the engine, as llama-server names them, aliases included. */
export const ENGINE_PATHS: readonly string[] = [
  "/v1/chat/completions",
  "/chat/completions",
  "/v1/chat/completions/input_tokens",
  "/chat/completions/input_tokens",
  "/v1/completions",
  "/completions",
  "/completion",
  "/v1/responses",
  "/responses",
  "/v1/responses/input_tokens",
  "/v1/messages",
  "/v1/messages/count_tokens",
  "/v1/embeddings",
  "/embeddings",
  "/embedding",
  "/v1/rerank",
  "/v1/reranking",
  "/rerank",
  "/reranking",
  "/tokenize",
  "/detokenize",
  "/apply-template",
  "/infill",
];
/** Headers of the request that mean something to the engine. Keys and cookies stay here. */
export const FORWARDED_HEADERS: readonly string[] = [
  "accept",
  "anthropic-version",
  "anthropic-beta",
];
/** The engine refuses heads with other letters, without saying why. */
export const FORWARDED_VALUE = /^[\x20-\x7e]*$/;
