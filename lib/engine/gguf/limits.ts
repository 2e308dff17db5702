/**
 * Limits of the GGUF reader. A file is whatever somebody downloaded: each number below is far above
 * what real models need and far below what would hurt the program.
 */
import { KIB, MIB } from "../../base/units.ts";

/** Whole header. The largest vocabularies (256 k tokens with merges) take about 20 MiB. */
export const HEADER_BYTES_MAX = 256 * MIB;
/** Length of a key. Writers use under 100 bytes, the format allows 65,535. */
export const KEY_BYTES_MAX = 1 * KIB;
/** Length of a tensor's name. llama.cpp itself stops at 63 bytes. */
export const TENSOR_NAME_BYTES_MAX = 256;
/** Length of one string. The longest known, chat templates, stay under 1 MiB. */
export const STRING_BYTES_MAX = 16 * MIB;
/** Strings up to this length are kept; longer ones (templates, licences) are only measured. */
export const KEPT_STRING_BYTES_MAX = 4 * KIB;
/** Key/value pairs. Real files have under 200. */
export const PAIRS_MAX = 16_384;
/** Tensors. The largest unmerged mixture of experts has about 50,000. */
export const TENSORS_MAX = 131_072;
/** Elements of one array. The largest known array, merges of a vocabulary, has about 500,000. */
export const ARRAY_ELEMENTS_MAX = 64 * 1024 * 1024;
/** Arrays of numbers up to this length are kept (values per layer); longer ones only counted. */
export const KEPT_ARRAY_ELEMENTS_MAX = 4_096;
/** Array elements kept in all, so that many small arrays do not add up. */
export const KEPT_ELEMENTS_TOTAL_MAX = 131_072;
/** Dimensions of a tensor (GGML_MAX_DIMS). */
export const DIMENSIONS_MAX = 4;
/** Alignment of tensor data. Writers use 32; huge ones would only waste space. */
export const ALIGNMENT_MAX = 1 * MIB;
/** Alignment where a file names none (the format's default). */
export const ALIGNMENT_DEFAULT = 32;
/** Layers of a model. Real ones have under 200. */
export const LAYERS_MAX = 4_096;
/** Parts of a split model. Real ones have under 100. */
export const PARTS_MAX = 1_024;
/** Largest piece of the header that the parser asks for at once; strings are bounded by it too. */
export const PIECE_BYTES_MAX = KEPT_STRING_BYTES_MAX;
