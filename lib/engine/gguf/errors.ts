/** A file that is not the GGUF it should be: not GGUF at all, cut off, damaged or hostile. */
export class GgufFormatError extends Error {
  override readonly name = "GgufFormatError";
  /** Where in the file, in bytes from its start. */
  readonly offset: number;

  constructor(message: string, offset: number, options?: ErrorOptions) {
    super(`${message} (at byte ${offset})`, options);
    this.offset = offset;
  }
}
