/** The header that tells clients the time (RFC 9110, 6.6.1), made once a second. */
let second = 0;
let line = "";

/** The Date header, with the end of its line. */
export function dateLine(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    line = `date: ${new Date(now * 1000).toUTCString()}\r\n`;
  }
  return line;
}
