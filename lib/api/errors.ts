/** How the management door says no: one shape, the same as on the OpenAI door. */

/** A request that is refused, with everything that its answer needs. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  /** Name of the member of the body that is wrong; null when it is not about one. */
  readonly param: string | null;
  /** Headers that go with this refusal, such as `allow`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, options: {
    readonly message: string;
    readonly param?: string;
    readonly headers?: Readonly<Record<string, string>>;
  }) {
    super(options.message);
    this.status = status;
    this.code = code;
    this.param = options.param ?? null;
    this.headers = options.headers ?? {};
  }

  /** The answer that carries this refusal. */
  toResponse(): Response {
    const { message, param, code } = this;
    const type = typeOf(this.status);
    return Response.json({ error: { message, type, param, code } }, {
      status: this.status,
      headers: this.headers,
    });
  }
}

/** The classes of errors that OpenAI's clients know. */
function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}
