/** Everything a node is told at its start, with defaults filled in. */
export interface NodeSettings {
  /** Folder of all state, absolute. */
  readonly homeDir: string;
  /** Folder of models that this program downloads and scans, absolute. */
  readonly modelsDir: string;
  /** Port of the OpenAI door; 0 takes any free one. */
  readonly apiPort: number;
  /** Port of the management door; 0 takes any free one. */
  readonly consolePort: number;
  /** Both doors on all addresses instead of loopback. */
  readonly listenAll: boolean;
  /** Keys accepted on the OpenAI door; none means that loopback callers need none. */
  readonly apiKeys: readonly string[];
  /** What to serve, as the user named it; absent for the best that fits or the starter model. */
  readonly model?: string;
  /** Context length of one request in tokens; absent for what fits. */
  readonly ctxSize?: number;
  /** Requests answered at once; absent for what fits. */
  readonly parallel?: number;
  /** Most memory to offer, in bytes; absent for all that is free. */
  readonly maxMemoryBytes?: number;
  /** llama.cpp device to use; absent for all that are there. */
  readonly device?: string;
  /** Folder with the user's own llama.cpp. */
  readonly binDir?: string;
  /** A throw-away identity: several nodes on one machine and on one home. */
  readonly isEphemeral: boolean;
  /** Invite tokens to join with, tried at once: secrets. None: the last mesh, or one of its own. */
  readonly joinTokens: readonly string[];
  /** Whether streamed answers that break off are continued by another host. */
  readonly continuesAnswers: boolean;
  /** Uses the mesh and serves nothing. */
  readonly isClient: boolean;
  /** UDP port of the peer links; 0 takes any free one. */
  readonly bindPort: number;
  /** Where others can dial this node, as given: `HOST` or `HOST:PORT` that `parseAdvertised` reads. */
  readonly advertise: readonly string[];
  /** Only the originator may invite. */
  readonly isClosed: boolean;
}

/** Default port of the OpenAI door. */
export const API_PORT_DEFAULT = 9337;
/** Default port of the management door. */
export const CONSOLE_PORT_DEFAULT = 3131;
