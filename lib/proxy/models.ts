/** Which served model a request means, and what to say when none can answer. */
import type { JsonObject } from "../base/json.ts";
import { DoorError } from "./errors.ts";
import type { MemberValue } from "./json_scan.ts";
import type { KnownModel, LoadingModel, RoutingTable, ServedModel } from "./ports.ts";

/** When to ask again for a model that loads: it is looked at often, and loads take seconds. */
const LOADING_RETRY_S = 5;
/** When to ask again while nothing serves and nothing loads. */
const NO_HOST_RETRY_S = 10;
/** Names listed in a message; a mesh may serve hundreds. */
const NAMES_LISTED_MAX = 20;
/** Longest part of an unknown name that is said back. */
const NAME_SHOWN_CHARS_MAX = 200;

/**
 * The served model that a body's `model` means: exactly, then without case and without `.gguf`;
 * without one, the only model there is.
 *
 * @param asked told of the model that is meant, whether or not it is served
 * @throws {DoorError} `model_required`, `invalid_request_error`, `model_not_found`, `model_loading`, `no_host`
 */
export function chooseModel(
  member: MemberValue,
  table: RoutingTable,
  asked: (modelId: string) => void = () => {},
): ServedModel {
  const name = nameOf(member);
  if (name !== undefined) return namedModel(name, table, asked);
  const only = onlyModel(table);
  asked(only.id);
  return only;
}

/**
 * The served model of this name.
 *
 * @param asked told of the model that is meant, whether or not it is served
 * @throws {DoorError} `model_not_found`, `model_loading`, `no_host`
 */
export function namedModel(
  name: string,
  table: RoutingTable,
  asked: (modelId: string) => void = () => {},
): ServedModel {
  const served = table.served();
  const found = findByName(name, served);
  if (found !== undefined) {
    asked(found.id);
    return found;
  }
  const loading = findByName(name, table.loading());
  const known = loading === undefined ? table.known?.(name) : undefined;
  const id = loading?.id ?? known?.id;
  if (id !== undefined) asked(id);
  if (loading !== undefined) throw loadingError(loading);
  if (known !== undefined) throw unservedError(known);
  if (served.length === 0 && table.loading().length === 0) throw noHostError();
  throw new DoorError(
    "model_not_found",
    `Cannot find model "${shown(name)}": ${listOf(served)}`,
    { param: "model" },
  );
}

/** What to say when a model is on its way. */
export function loadingError(model: LoadingModel): DoorError {
  const done = model.percent === undefined ? "" : ` (${Math.floor(model.percent)} %)`;
  return new DoorError(
    "model_loading",
    `Model "${model.id}" cannot answer yet: ${model.phase}${done}; ask again in ${LOADING_RETRY_S} s`,
    {
      param: "model",
      retryAfterS: LOADING_RETRY_S,
      details: {
        phase: model.phase,
        ...(model.percent === undefined ? {} : { percent: Math.floor(model.percent) }),
      },
    },
  );
}

/** What to say of a model that is somewhere in the mesh and served nowhere. */
function unservedError({ id, isComing }: KnownModel): DoorError {
  if (isComing) return loadingError({ id, phase: "a member is about to take it on" });
  return new DoorError(
    "no_host",
    `Model "${id}" is known here, but no member can take it on now; mesh-llm plan says why`,
    { param: "model", retryAfterS: NO_HOST_RETRY_S },
  );
}

/** What to say when nobody serves anything. */
export function noHostError(): DoorError {
  return new DoorError("no_host", "No model is served now and none is loading", {
    retryAfterS: NO_HOST_RETRY_S,
  });
}

/** One entry of `GET /v1/models`. */
export function modelEntry(model: ServedModel): JsonObject {
  return {
    id: model.id,
    object: "model",
    created: model.createdUnixS,
    owned_by: "mesh-llm",
    meta: model.meta,
  };
}

function nameOf(member: MemberValue): string | undefined {
  switch (member.kind) {
    case "absent":
    case "null":
      return undefined;
    case "string":
      return member.value === "" ? undefined : member.value;
    case "too long":
      throw new DoorError("invalid_request_error", "Cannot use a model name of this length", {
        param: "model",
      });
    case "boolean":
    case "other":
      throw new DoorError("invalid_request_error", "Cannot use this model: it must be a string", {
        param: "model",
      });
  }
}

function onlyModel(table: RoutingTable): ServedModel {
  const served = table.served();
  const only = served[0];
  if (only !== undefined && served.length === 1) return only;
  if (only !== undefined) {
    throw new DoorError(
      "model_required",
      `Cannot choose a model: the request names none, and ${listOf(served)}`,
      { param: "model" },
    );
  }
  const loading = table.loading()[0];
  throw loading === undefined ? noHostError() : loadingError(loading);
}

function findByName<Model extends { readonly id: string }>(
  name: string,
  models: readonly Model[],
): Model | undefined {
  const exact = models.find((model) => model.id === name);
  if (exact !== undefined) return exact;
  const wanted = plainName(name);
  return models.find((model) => plainName(model.id) === wanted);
}

/** A name without what does not tell models apart: case and ".gguf". */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/\.gguf$/, "");
}

function listOf(served: readonly ServedModel[]): string {
  if (served.length === 0) return "no model is served now";
  const names = served.slice(0, NAMES_LISTED_MAX).map((model) => `"${model.id}"`).join(", ");
  const more = served.length - NAMES_LISTED_MAX;
  return `served now: ${names}${more > 0 ? ` and ${more} more` : ""}`;
}

function shown(name: string): string {
  return name.length <= NAME_SHOWN_CHARS_MAX ? name : `${name.slice(0, NAME_SHOWN_CHARS_MAX)}…`;
}
