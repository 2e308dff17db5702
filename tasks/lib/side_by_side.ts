/**
 * Files of system tests that run beside each other, a few at a time, each in a process of its own. The others run
 * before, one after another: those that compute with the real engine, which goes at a crawl beside a third busy
 * process; those whose figures are compared; those that start a dozen nodes; and all that are over in a second or
 * two, for which a process of their own does not pay.
 *
 * A file may stand here when it shares nothing by name with others (a port, a home, a namespace), when nothing that
 * it asserts hangs on how long something takes, and when every wait of it has a limit that a busy machine keeps. It
 * is worth it when it waits much: what computes takes its time here as well.
 *
 * @module
 */

const SCRIPTED = "scripted engines and nodes with homes and ports of their own; waits for events";
const COMMANDS = "programs that end by themselves, each with a home of its own";
const FETCHES = "waits for a network or a disk; what two need at once is fetched under a lock";

/** Why each may; the longest first, or one of them would be left over at the end. */
export const SIDE_BY_SIDE: ReadonlyMap<string, string> = new Map([
  ["tests/system/node/continued_test.ts", `${SCRIPTED}; its pauses are mostly those of the mesh`],
  ["tests/system/node/engine_faults_test.ts", `${SCRIPTED}, half a minute of it for a hang`],
  ["tests/system/node/multi_model_test.ts", `${SCRIPTED}, of the mesh`],
  ["tests/system/api/page_test.ts", "a browser with a profile of its own; a minute for each wait"],
  ["tests/system/node/mesh_commands_test.ts", `${SCRIPTED}, and commands about them`],
  ["tests/system/node/commands_test.ts", COMMANDS],
  ["tests/system/mesh/decoders_test.ts", "pure code, a million inputs on one core"],
  ["tests/system/node/downloads_test.ts", `${SCRIPTED}, and a stand-in for Hugging Face`],
  [
    "tests/system/netns/cut_off_test.ts",
    "names hosts after its process; the only one of netns/ here",
  ],
  ["tests/system/node/shutdown_test.ts", SCRIPTED],
  ["tests/system/tasks/child_test.ts", "sleeping programs that are ended at their limit"],
  ["tests/system/node/mesh_restart_test.ts", `${SCRIPTED}; tries its fixed UDP ports before`],
  ["tests/system/node/mesh_tokens_test.ts", SCRIPTED],
  ["tests/system/engine/debian_test.ts", `${FETCHES}; a folder of its own for each engine`],
  ["tests/system/engine/supervision_test.ts", "scripted engines with ports and homes of their own"],
  ["tests/system/node/mesh_gateway_test.ts", SCRIPTED],
  ["tests/system/node/bad_models_test.ts", COMMANDS],
  ["tests/system/mesh/oldest_runtime_test.ts", FETCHES],
  ["tests/system/node/two_nodes_test.ts", SCRIPTED],
  ["tests/system/node/mesh_join_test.ts", SCRIPTED],
  ["tests/system/models/fetch_model_test.ts", FETCHES],
  ["tests/system/node/clients_test.ts", SCRIPTED],
  ["tests/system/node/access_test.ts", SCRIPTED],
  ["tests/system/node/mesh_secrets_test.ts", SCRIPTED],
  ["tests/system/node/ports_test.ts", SCRIPTED],
  ["tests/system/engine/debian_proxy_test.ts", `${FETCHES}; a folder of its own for the engine`],
  ["tests/system/node/orphans_test.ts", `${SCRIPTED}; ends and looks at its own processes by id`],
  ["tests/system/node/secrets_test.ts", SCRIPTED],
  ["tests/system/node/queue_test.ts", SCRIPTED],
  ["tests/system/node/mesh_sdk_test.ts", SCRIPTED],
  ["tests/system/node/loading_test.ts", SCRIPTED],
]);
