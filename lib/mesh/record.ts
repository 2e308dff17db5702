/**
 * What a node says about itself: one record, signed by its key (JWS, `typ` "mesh-llm-record"), passed on as
 * the bytes it signed. Only its subject can change it. Reading and writing: `record_codec.ts`.
 */
import type { JsonObject } from "../base/json.ts";
import type { PeerAddress } from "./address.ts";
import type { Certificate, Signed } from "./credentials.ts";
import type { NodeId } from "./ids.ts";

/** A device of the node that can hold models. */
export interface RecordDevice {
  readonly name: string;
  readonly totalBytes: number;
}

/** A model that the node answers now. */
export interface ServedRecord {
  /** Name that clients use. */
  readonly id: string;
  readonly createdUnixS: number;
  readonly slots: number;
  readonly sizeBytes: number;
  /**
   * What the model is, whatever its name: SHA-256 of its header in hexadecimal, ":", its size in bytes. Absent in
   * records of older programs.
   */
  readonly fingerprint?: string;
  /** For `/v1/models`: context length, parameters, quantisation. Bounded to 4 KiB. */
  readonly meta: JsonObject;
}

/** A model that the node is about to serve. */
export interface LoadingRecord {
  readonly id: string;
  readonly phase: string;
}

/** The content of a record. */
export interface NodeRecord {
  readonly node: NodeId;
  /** Grows with every change, across restarts too: Unix milliseconds of the start, plus one for each change. */
  readonly incarnation: number;
  /** Nonce of the process: two processes with one key are told apart by it. */
  readonly session: string;
  /** Version of the program, and of the protocol. */
  readonly version: string;
  readonly protocol: number;
  readonly leafHash: string;
  /** Where it can be dialled, best first; at most 8. */
  readonly addresses: readonly PeerAddress[];
  /** "yes" when somebody it had not dialled reached it; "no" when everybody failed; else "unknown". */
  readonly dialable: "yes" | "no" | "unknown";
  readonly devices: readonly RecordDevice[];
  /** Memory it offers for models in all, in coarse steps. */
  readonly offeredBytes: number;
  readonly engine: { readonly version: string; readonly rpcVersion: string } | undefined;
  /** Names of models on its disk; at most 64. */
  readonly models: readonly string[];
  readonly serving: readonly ServedRecord[];
  readonly loading: readonly LoadingRecord[];
  /** Its last word: the node leaves. */
  readonly isLeaving: boolean;
}

/** A record with the bytes that others verify, and the certificate in it, verified. */
export interface SignedRecord {
  readonly jws: string;
  readonly record: NodeRecord;
  readonly certificate: Signed<Certificate>;
}
