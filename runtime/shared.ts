/**
 * What the runtime's two front doors, `index.ts` and `web/index.ts`, have in common: all that asks nothing of the
 * platform. Their types name nothing that a platform declares (`WebAssembly`, `GPU`): they hold in an app that is
 * checked without those.
 */
export type * from "./plan.js";
export type * from "./roles.js";
export type { GenerateOptions, TextTokenizer } from "./generate.js";
export type {
  BatchEvaluation,
  CallOptions,
  ClaimMetrics,
  Evaluation,
  LoadOptions,
  Model,
  ParameterAccess,
  Restored,
  ShrunkMetrics,
  StepMetrics,
  TrainOptions,
} from "./interface.js";
export type { Recompile } from "./choose.js";
export { deviceNames, sizeOf } from "./device.js";
export { copiesOf } from "./plan.js";
export type { BuiltInDevice, Device, DeviceName, OpenOptions, Session, Words } from "./device.js";
export { DataError, DeviceError, MhcError, NumericError } from "./errors.js";
export type { NotFinite, NumericReport } from "./errors.js";
export { decodeTokens, encodeText, examplesSource, textSource, vocabularyOf } from "./data.js";
export type { Batch, Labelled, Source } from "./data.js";
export { namesOf, pairsSource, parsePairs } from "./pairs.js";
export type { Pair } from "./pairs.js";
export { csvSource, csvValues, featureNames } from "./columns.js";
export { parseCsv } from "./csv.js";
export type { CsvRow, CsvTable, NamedText } from "./csv.js";
export { imagesSource } from "./images.js";
export type { LabelledImages } from "./images.js";
export { encodeSource, linesOf, linesSource, parseSequences, sequencesSource } from "./lines.js";
export type { SequencePair, TextLine } from "./lines.js";
export { tokensSource } from "./data.js";
