import { join } from "node:path";
import { TEST_HOME } from "./engine.ts";
import { STARTER } from "~/models/catalogue.ts";
import { ensureModel } from "~/models/io/fetch_model.ts";

/** Models of the shared home. */
export const TEST_MODELS_DIR = join(TEST_HOME, "models");

/** A slow line may need this long; without a limit a stuck mirror would hang the tests. */
const FETCH_TIMEOUT_MS = 10 * 60_000;

/**
 * Path of the starter model, fetched on first use and shared by all tests; processes that come at
 * the same time wait for each other. Fails when it cannot be had: the tests need a real model.
 */
export async function ensureTestModel(): Promise<string> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), FETCH_TIMEOUT_MS);
  const { HF_ENDPOINT, HF_TOKEN } = Deno.env.toObject();
  try {
    const { path } = await ensureModel({ kind: "catalogue", id: STARTER.name, entry: STARTER }, {
      modelsDir: TEST_MODELS_DIR,
      report: () => {},
      onSourceFailure: () => {},
      signal: controller.signal,
      ...(HF_ENDPOINT === undefined ? {} : { hfEndpoint: HF_ENDPOINT }),
      ...(HF_TOKEN === undefined ? {} : { hfToken: HF_TOKEN }),
    });
    return path;
  } finally {
    clearTimeout(timer);
  }
}
