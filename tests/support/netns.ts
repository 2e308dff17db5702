/**
 * Several hosts on one machine, as network namespaces: a public switch, hosts on it, and hosts behind routers
 * that translate addresses as those at home do: a port is kept for all peers, and only a peer that was written to
 * gets an answer in. Needs root; everything is removed at the end. Nothing leaves these namespaces.
 */

import { isAlive } from "./processes.ts";

/** Whether namespaces can be made here. Where every change is tested they have to be. */
export const HAS_NAMESPACES = Deno.env.get("CI") !== undefined || await canMakeNamespaces();

async function canMakeNamespaces(): Promise<boolean> {
  try {
    // A new namespace has tables of its own: nothing of the machine is touched.
    for (const words of ["ip -V", "unshare --net iptables -t nat -L"]) await run(words.split(" "));
    return true;
  } catch {
    return false;
  }
}

/** Names of namespaces are seen by the whole machine: two runs must not meet. */
let made = 0;

/** Runs a command; its output, or an error with it. */
async function run(words: readonly string[]): Promise<string> {
  const [command = "", ...args] = words;
  const output = await new Deno.Command(command, { args, stdin: "null" }).output();
  const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  if (output.success) return decode(output.stdout);
  throw new Error(`"${words.join(" ")}" failed with ${output.code}: ${decode(output.stderr)}`);
}

/** A host in a namespace of its own. */
export interface TestHost {
  /** Name of its namespace. */
  readonly name: string;
  readonly ip: string;
  /** What to put before a command so that it runs there. */
  readonly wrapper: readonly string[];
}

/** A router with a public side, and hosts behind it. */
export interface TestNat {
  /** Name of its namespace. */
  readonly name: string;
  readonly publicIp: string;
  /** Adds a host behind it. */
  host(): Promise<TestHost>;
  /** Passes UDP that arrives at `port` on to a host, as a person sets up in a router. */
  forward(port: number, to: TestHost): Promise<void>;
}

/** The public network: 203.0.113.0/24 (RFC 5737), on a switch in a namespace. */
export class TestNetwork implements AsyncDisposable {
  readonly #prefix: string;
  readonly #spaces: string[] = [];
  #nextPublic = 1;
  #nextPrivate = 1;
  #nextName = 0;

  private constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Makes the switch. */
  static async create(): Promise<TestNetwork> {
    await removeLeftOvers();
    const network = new TestNetwork(
      `ml${Deno.pid}${String.fromCharCode(97 + made++ % 26)}`,
    );
    try {
      await network.#space("pub");
      await network.#in("pub", ["ip", "link", "add", "br0", "type", "bridge"]);
      await network.#in("pub", ["ip", "link", "set", "br0", "up"]);
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Adds a host with a public address. */
  async host(): Promise<TestHost> {
    const name = this.#name("h");
    await this.#space(name);
    return await this.#attach(name);
  }

  /** Adds a router that translates addresses, and lets nothing in that was not asked for. */
  async nat(): Promise<TestNat> {
    const name = this.#name("n");
    await this.#space(name);
    const { ip: publicIp } = await this.#attach(name);
    const subnet = this.#nextPrivate++;
    await this.#in(name, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    const iptables = (rule: string): Promise<string> =>
      this.#in(name, ["iptables", ...rule.split(" ")]);
    await iptables("-t nat -A POSTROUTING -o wan -j MASQUERADE");
    await iptables("-A FORWARD -i wan -m state --state NEW -j DROP");
    // Without this one it would keep count of strangers' packets, and then give a port away to its own hosts.
    await iptables("-A INPUT -i wan -m state --state NEW -j DROP");
    let nextHost = 2;
    const host = async (): Promise<TestHost> => {
      const inner = this.#name("h");
      const n = nextHost++;
      await this.#space(inner);
      await this.#cable(inner, "lan", name, `in${n}`);
      const router = `192.168.${subnet}.1`;
      if (n === 2) {
        await this.#in(name, ["ip", "link", "add", "br0", "type", "bridge"]);
        await this.#in(name, ["ip", "link", "set", "br0", "up"]);
        await this.#in(name, ["ip", "addr", "add", `${router}/24`, "dev", "br0"]);
      }
      await this.#in(name, ["ip", "link", "set", `in${n}`, "master", "br0"]);
      const ip = `192.168.${subnet}.${n}`;
      await this.#in(inner, ["ip", "addr", "add", `${ip}/24`, "dev", "lan"]);
      await this.#in(inner, ["ip", "route", "add", "default", "via", router]);
      return this.#hostOf(inner, ip);
    };
    const forward = async (port: number, to: TestHost): Promise<void> => {
      await iptables(
        `-t nat -A PREROUTING -i wan -p udp --dport ${port} -j DNAT --to-destination ${to.ip}:${port}`,
      );
      await iptables(`-I FORWARD -i wan -p udp --dport ${port} -d ${to.ip} -j ACCEPT`);
    };
    return { name: this.#hostOf(name, publicIp).name, publicIp, host, forward };
  }

  /** Adds a host that has nothing but itself. */
  async lonelyHost(): Promise<TestHost> {
    const name = this.#name("h");
    await this.#space(name);
    return this.#hostOf(name, "127.0.0.1");
  }

  /** Takes IPv6 from a host, as some providers and containers do. */
  async dropIpv6(host: TestHost): Promise<void> {
    const conf = "/proc/sys/net/ipv6/conf";
    const off = `for each in ${conf}/*/disable_ipv6; do echo 1 > $each; done`;
    await run([...host.wrapper, "sh", "-c", off]);
  }

  /** From now on two routers let no UDP through from each other. */
  async blockUdp(one: TestNat, other: TestNat): Promise<void> {
    const rule = ["iptables", "-I", "FORWARD", "-p", "udp", "-j", "DROP"];
    for (const end of ["-s", "-d"]) {
      await run(["ip", "netns", "exec", one.name, ...rule, end, other.publicIp]);
    }
  }

  /** Takes a host off its network: its interface is down. */
  async cutOff(host: TestHost): Promise<void> {
    await run([...host.wrapper, "ip", "link", "set", await deviceOf(host), "down"]);
  }

  /** Puts a host on its network again. */
  async reconnect(host: TestHost): Promise<void> {
    const device = await deviceOf(host);
    await run([...host.wrapper, "ip", "link", "set", device, "up"]);
    if (device === "wan") return;
    // The way out was forgotten with the interface.
    const router = host.ip.replace(/\d+$/, "1");
    await run([...host.wrapper, "ip", "route", "replace", "default", "via", router]);
  }

  /** Gives a public host another address in the place of its own. */
  async readdress(host: TestHost): Promise<TestHost> {
    const ip = publicIp(this.#nextPublic++);
    await run([...host.wrapper, "ip", "addr", "del", `${host.ip}/24`, "dev", "wan"]);
    await run([...host.wrapper, "ip", "addr", "add", `${ip}/24`, "dev", "wan"]);
    return { ...host, ip };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeSpaces(this.#spaces);
  }

  #name(kind: string): string {
    return `${kind}${this.#nextName++}`;
  }

  #hostOf(name: string, ip: string): TestHost {
    const space = `${this.#prefix}${name}`;
    return { name: space, ip, wrapper: ["ip", "netns", "exec", space] };
  }

  async #space(name: string): Promise<void> {
    const space = `${this.#prefix}${name}`;
    await run(["ip", "netns", "add", space]);
    this.#spaces.push(space);
    await this.#in(name, ["ip", "link", "set", "lo", "up"]);
  }

  #in(name: string, words: readonly string[]): Promise<string> {
    return run(["ip", "netns", "exec", `${this.#prefix}${name}`, ...words]);
  }

  /** Joins two namespaces; both ends are up. */
  async #cable(from: string, fromDevice: string, to: string, toDevice: string): Promise<void> {
    const far = `${this.#prefix}${to}`;
    const peer = ["peer", "name", toDevice, "netns", far];
    await this.#in(from, ["ip", "link", "add", fromDevice, "type", "veth", ...peer]);
    await this.#in(from, ["ip", "link", "set", fromDevice, "up"]);
    await this.#in(to, ["ip", "link", "set", toDevice, "up"]);
  }

  /** Puts a namespace on the public switch. */
  async #attach(name: string): Promise<TestHost> {
    const n = this.#nextPublic++;
    await this.#cable(name, "wan", "pub", `p${n}`);
    await this.#in("pub", ["ip", "link", "set", `p${n}`, "master", "br0"]);
    const ip = publicIp(n);
    await this.#in(name, ["ip", "addr", "add", `${ip}/24`, "dev", "wan"]);
    return this.#hostOf(name, ip);
  }
}

/** What tests left behind that were killed. */
async function removeLeftOvers(): Promise<void> {
  const names = (await run(["ip", "netns", "list"])).split("\n").map((line) => line.split(" ")[0]);
  const left: string[] = [];
  for (const name of names) {
    const pid = /^ml(\d+)[a-z]/.exec(name ?? "")?.[1];
    if (name !== undefined && pid !== undefined && !await isAlive(Number(pid))) left.push(name);
  }
  await removeSpaces(left);
}

/** Removes all, even when one of them cannot be removed; then that is told. */
async function removeSpaces(names: readonly string[]): Promise<void> {
  const ends = await Promise.allSettled(names.map((name) => run(["ip", "netns", "del", name])));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

function publicIp(n: number): string {
  return `203.0.113.${n + 9}`;
}

async function deviceOf(host: TestHost): Promise<string> {
  const links = await run([...host.wrapper, "ip", "-o", "link"]);
  return /\d+: (wan|lan)[@:]/.exec(links)?.[1] ?? "wan";
}
